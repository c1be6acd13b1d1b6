# `cmake --install`: the library, its headers, the tool, and what finds them: a CMake package and a pkg-config file.

include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lam_engine)

install(TARGETS lam_engine EXPORT lam_engine
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET lam_operators)
    install(TARGETS lam_operators LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(TARGETS lam-embed RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT lam_engine NAMESPACE lam_engine:: FILE lam_engineConfig.cmake DESTINATION ${package_dir})
write_basic_package_version_file(lam_engineConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(cmake/lam_engine.pc.in lam_engine.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lam_engineConfigVersion.cmake DESTINATION ${package_dir})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lam_engine.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
