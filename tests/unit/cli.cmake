# Unit tests of the command's parts without input and output.
if(NOT TARGET PkgConfig::CMOCKA)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()
foreach(module exit failure human local_path object_name parse progress_line server_url text)
    add_executable(test_cli_${module} ${CMAKE_CURRENT_LIST_DIR}/test_cli_${module}.c)
    target_link_libraries(test_cli_${module} PRIVATE trove_cli_core PkgConfig::CMOCKA trove_flags)
    add_test(NAME cli_${module} COMMAND test_cli_${module})
endforeach()
