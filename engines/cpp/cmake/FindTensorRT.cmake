# The headers of TensorRT 10.9 or newer and CUDA's runtime, below TENSORRT_ROOT, CUDA_ROOT or in the usual places.
#
# TensorRT::headers has both. The libraries of TensorRT and of TensorRT for RTX are opened when a bundle is loaded; the
# folders where they were found are in TensorRT_LIBRARY_DIRS, and they need not be there to build.

set(cuda_places /usr/local/cuda)
find_path(TensorRT_INCLUDE_DIR NvInferRuntime.h HINTS ${TENSORRT_ROOT} PATH_SUFFIXES include)
find_path(TensorRT_CUDA_INCLUDE_DIR cuda_runtime_api.h
          HINTS ${CUDA_ROOT} ${TENSORRT_ROOT} PATHS ${cuda_places} PATH_SUFFIXES include)
find_library(TensorRT_CUDA_LIBRARY cudart
             HINTS ${CUDA_ROOT} ${TENSORRT_ROOT} PATHS ${cuda_places} PATH_SUFFIXES lib64 lib)
mark_as_advanced(TensorRT_INCLUDE_DIR TensorRT_CUDA_INCLUDE_DIR TensorRT_CUDA_LIBRARY)

if(TENSORRT_ROOT AND NOT (TensorRT_INCLUDE_DIR AND TensorRT_CUDA_INCLUDE_DIR AND TensorRT_CUDA_LIBRARY))
    message(FATAL_ERROR "expected NvInferRuntime.h, CUDA's cuda_runtime_api.h and libcudart.so below ${TENSORRT_ROOT}, "
                        "found ${TensorRT_INCLUDE_DIR}, ${TensorRT_CUDA_INCLUDE_DIR} and ${TensorRT_CUDA_LIBRARY}; name "
                        "CUDA's folder: -DCUDA_ROOT=DIR")
endif()

if(TensorRT_INCLUDE_DIR)
    # The figures stand in NV_TENSORRT_MAJOR, or in the macro that it names.
    file(STRINGS ${TensorRT_INCLUDE_DIR}/NvInferVersion.h lines REGEX "define (NV_TENSORRT|TRT)_(MAJOR|MINOR|PATCH)[A-Z_]* [0-9]")
    string(REGEX MATCHALL " [0-9]+" figures "${lines}")
    list(JOIN figures "." TensorRT_VERSION)
    string(REPLACE " " "" TensorRT_VERSION "${TensorRT_VERSION}")
    string(REGEX MATCH "^[0-9]+" major "${TensorRT_VERSION}")
    foreach(library libnvinfer.so.${major} libtensorrt_rtx.so.1)
        find_path(TensorRT_DIR_OF_${library} ${library}
                  HINTS ${TENSORRT_ROOT} ${TENSORRT_RTX_ROOT} PATH_SUFFIXES lib lib64)
        mark_as_advanced(TensorRT_DIR_OF_${library})
        if(TensorRT_DIR_OF_${library})
            list(APPEND TensorRT_LIBRARY_DIRS ${TensorRT_DIR_OF_${library}})
        endif()
    endforeach()
    list(REMOVE_DUPLICATES TensorRT_LIBRARY_DIRS)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
    TensorRT
    REQUIRED_VARS TensorRT_INCLUDE_DIR TensorRT_CUDA_INCLUDE_DIR TensorRT_CUDA_LIBRARY
    VERSION_VAR TensorRT_VERSION)
if(TensorRT_FOUND)
    add_library(TensorRT::headers INTERFACE IMPORTED)
    target_include_directories(TensorRT::headers SYSTEM INTERFACE ${TensorRT_INCLUDE_DIR} ${TensorRT_CUDA_INCLUDE_DIR})
    target_link_libraries(TensorRT::headers INTERFACE ${TensorRT_CUDA_LIBRARY})
endif()
