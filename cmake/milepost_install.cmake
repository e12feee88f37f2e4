# Installs headers, static libraries, the command, and the CMake package that finds them:
#   find_package(milepost REQUIRED)
#   target_link_libraries(my_trainer PRIVATE milepost::milepost)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/milepost)

foreach(layer io policy engine)
  set_target_properties(milepost_${layer} PROPERTIES EXPORT_NAME ${layer})
endforeach()
install(TARGETS milepost milepost_engine milepost_policy milepost_io
        EXPORT milepost_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT milepost_targets NAMESPACE milepost:: FILE milepostTargets.cmake DESTINATION ${package_dir})

install(DIRECTORY io policy engine
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/milepost
        FILES_MATCHING PATTERN "*.h")
install(FILES engine/milepost.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/milepost)

configure_package_config_file(cmake/milepostConfig.cmake.in ${PROJECT_BINARY_DIR}/milepostConfig.cmake
                              INSTALL_DESTINATION ${package_dir}
                              NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/milepostConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/milepostConfig.cmake ${PROJECT_BINARY_DIR}/milepostConfigVersion.cmake
        DESTINATION ${package_dir})

if(TARGET milepost_command)
  install(TARGETS milepost_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
