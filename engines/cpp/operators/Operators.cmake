# The fused delta rule as a kernel, in a variant for each instruction set, and as an operator of OpenVINO.

# What a kernel may assume beyond the language: a * b + c in one rounding, and a square root that sets no errno.
set(kernel_options -O3 -ffp-contract=fast -fno-math-errno)

add_library(lam_kernels STATIC operators/fused_delta_rule.cpp)
target_include_directories(lam_kernels PUBLIC operators)
target_link_libraries(lam_kernels PRIVATE lam_flags)
function(add_kernel_variant name lanes)
    add_library(lam_kernel_${name} OBJECT operators/fused_delta_rule_kernel.cpp)
    target_compile_definitions(lam_kernel_${name} PRIVATE LAM_VARIANT=${name} LAM_LANES=${lanes})
    target_compile_options(lam_kernel_${name} PRIVATE ${kernel_options} ${ARGN})
    target_link_libraries(lam_kernel_${name} PRIVATE lam_flags)
    target_sources(lam_kernels PRIVATE $<TARGET_OBJECTS:lam_kernel_${name}>)
endfunction()
add_kernel_variant(baseline 4)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    # What `variants` asks the CPU for, and no more: a level such as x86-64-v4 has instructions that it would not ask for.
    set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma)
    add_kernel_variant(avx2 8 -mavx2 -mfma)
    add_kernel_variant(avx512 16 ${avx512})
    add_kernel_variant(avx512_bf16 16 ${avx512} -mavx512bf16)
    target_compile_definitions(lam_kernels PRIVATE LAM_X86_KERNELS)
endif()

if(OpenVINO_FOUND)
    add_library(lam_openvino_operator STATIC operators/openvino_operator.cpp)
    target_include_directories(lam_openvino_operator PUBLIC operators)
    target_link_libraries(lam_openvino_operator
        PUBLIC openvino::runtime
        PRIVATE lam_flags lam_kernels openvino::threading)

    # For programs that bring OpenVINO themselves. Without a path to it, so that it can never load a second one.
    add_library(lam_operators MODULE operators/extension.cpp)
    target_link_libraries(lam_operators PRIVATE lam_flags lam_openvino_operator)
    set_target_properties(lam_operators PROPERTIES SKIP_BUILD_RPATH ON INSTALL_RPATH "" INSTALL_RPATH_USE_LINK_PATH OFF)
endif()
