# TensorRT 10.9 or newer and CUDA's runtime, below TENSORRT_ROOT, CUDA_ROOT or in the usual places.
#
# TensorRT::headers is there where the headers are, TensorRT::nvinfer where the libraries are too.

set(cuda_places /usr/local/cuda)
find_path(TensorRT_INCLUDE_DIR NvInferRuntime.h HINTS ${TENSORRT_ROOT} PATH_SUFFIXES include)
find_path(TensorRT_CUDA_INCLUDE_DIR cuda_runtime_api.h
          HINTS ${CUDA_ROOT} ${TENSORRT_ROOT} PATHS ${cuda_places} PATH_SUFFIXES include)
find_library(TensorRT_LIBRARY nvinfer HINTS ${TENSORRT_ROOT} PATH_SUFFIXES lib lib64)
find_library(TensorRT_CUDA_LIBRARY cudart
             HINTS ${CUDA_ROOT} ${TENSORRT_ROOT} PATHS ${cuda_places} PATH_SUFFIXES lib64 lib)
mark_as_advanced(TensorRT_INCLUDE_DIR TensorRT_CUDA_INCLUDE_DIR TensorRT_LIBRARY TensorRT_CUDA_LIBRARY)

if(TENSORRT_ROOT AND NOT (TensorRT_INCLUDE_DIR AND TensorRT_CUDA_INCLUDE_DIR))
    message(FATAL_ERROR "expected NvInferRuntime.h and CUDA's cuda_runtime_api.h below ${TENSORRT_ROOT}, found "
                        "${TensorRT_INCLUDE_DIR} and ${TensorRT_CUDA_INCLUDE_DIR}; name CUDA's folder: -DCUDA_ROOT=DIR")
endif()

if(TensorRT_INCLUDE_DIR AND TensorRT_CUDA_INCLUDE_DIR)
    # The figures stand in NV_TENSORRT_MAJOR, or in the macro that it names.
    file(STRINGS ${TensorRT_INCLUDE_DIR}/NvInferVersion.h lines REGEX "define (NV_TENSORRT|TRT)_(MAJOR|MINOR|PATCH)[A-Z_]* [0-9]")
    string(REGEX MATCHALL " [0-9]+" figures "${lines}")
    list(JOIN figures "." TensorRT_VERSION)
    string(REPLACE " " "" TensorRT_VERSION "${TensorRT_VERSION}")
    add_library(TensorRT::headers INTERFACE IMPORTED)
    target_include_directories(TensorRT::headers SYSTEM INTERFACE ${TensorRT_INCLUDE_DIR} ${TensorRT_CUDA_INCLUDE_DIR})
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
    TensorRT
    REQUIRED_VARS TensorRT_LIBRARY TensorRT_INCLUDE_DIR TensorRT_CUDA_LIBRARY TensorRT_CUDA_INCLUDE_DIR
    VERSION_VAR TensorRT_VERSION)
if(TensorRT_FOUND)
    add_library(TensorRT::nvinfer INTERFACE IMPORTED)
    target_link_libraries(TensorRT::nvinfer
                          INTERFACE TensorRT::headers ${TensorRT_LIBRARY} ${TensorRT_CUDA_LIBRARY})
endif()
