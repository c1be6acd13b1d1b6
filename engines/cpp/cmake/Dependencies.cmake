# Everything that the library is built with. What is missing is named at once, with the command that installs it.

set(missing "")
set(packages "")
macro(need found package)
    if(NOT ${found})
        list(APPEND missing "${found}")
        list(APPEND packages "${package}")
    endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
if(NOT LAM_OPERATORS_ONLY)
    find_package(nlohmann_json 3.10 QUIET)
    need(nlohmann_json_FOUND nlohmann-json3-dev)
    find_package(ICU QUIET COMPONENTS uc data)
    need(ICU_FOUND libicu-dev)
    find_package(OpenSSL 1.1.1 QUIET COMPONENTS Crypto)
    need(OPENSSL_FOUND libssl-dev)
    if(LAM_TESTS)
        find_package(doctest QUIET)
        need(doctest_FOUND doctest-dev)
    endif()
endif()
if(missing)
    list(JOIN packages " " packages)
    message(FATAL_ERROR "expected ${packages}, found none installed; on Debian or Ubuntu run: apt-get install ${packages}")
endif()

# OpenVINO's package for Python carries its headers, its libraries and its CMake package.
if(NOT OpenVINO_DIR)
    if(SKBUILD)  # built by pip, for its Python
        set(LAM_PYTHON ${Python_EXECUTABLE})
    endif()
    find_program(LAM_PYTHON NAMES python3 python DOC "The Python whose openvino package is used")
    if(LAM_PYTHON)
        set(code "import importlib.util as u; s = u.find_spec('openvino'); print(s.submodule_search_locations[0] if s else '')")
        execute_process(COMMAND ${LAM_PYTHON} -c "${code}"
                        OUTPUT_VARIABLE openvino_package OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
endif()
find_package(OpenVINO QUIET COMPONENTS Runtime Threading HINTS "${openvino_package}/cmake")
if(OpenVINO_FOUND AND OpenVINO_VERSION VERSION_LESS 2026.2)
    message(FATAL_ERROR "expected OpenVINO 2026.2 or newer, found ${OpenVINO_VERSION} in ${OpenVINO_DIR}, which gives "
                        "NaN for padded texts; run: pip install --upgrade 'openvino>=2026.2'")
endif()
find_package(TensorRT QUIET)

if(OpenVINO_FOUND)
    message(STATUS "Backend openvino: OpenVINO ${OpenVINO_VERSION} in ${OpenVINO_DIR}")
else()
    message(STATUS "Backend openvino: left out, no OpenVINO found")
endif()
if(TARGET TensorRT::nvinfer)
    message(STATUS "Backend tensorrt: TensorRT ${TensorRT_VERSION} in ${TensorRT_INCLUDE_DIR}")
elseif(TARGET TensorRT::headers)
    message(STATUS "Backend tensorrt: compiled with the headers of TensorRT ${TensorRT_VERSION} in "
                   "${TensorRT_INCLUDE_DIR}, and left out: no libnvinfer and libcudart found")
else()
    message(STATUS "Backend tensorrt: left out, no TensorRT found")
endif()
if(NOT OpenVINO_FOUND AND NOT TARGET TensorRT::nvinfer)
    message(FATAL_ERROR
            "expected OpenVINO or TensorRT, found neither; run: pip install 'openvino>=2026.2', in the environment whose "
            "python3 is the first on the path (or name its CMake package: -DOpenVINO_DIR=DIR), or name TensorRT's "
            "folder: -DTENSORRT_ROOT=DIR")
endif()
