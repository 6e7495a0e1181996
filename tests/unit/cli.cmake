# Unit tests of the command's parts without input and output. They link those parts alone, not what the server shares.
foreach(module
        digest
        exit
        failure
        hint
        human
        key_path
        local_path
        object_name
        parse
        progress_line
        server_url
        text
        upload_record)
    set(test test_cli_${module})
    add_executable(${test} ${CMAKE_CURRENT_LIST_DIR}/${test}.c)
    target_link_libraries(${test} PRIVATE trove_cli_core PkgConfig::CMOCKA trove_flags)
    add_test(NAME unit/${test} COMMAND ${test})
    set_tests_properties(unit/${test} PROPERTIES TIMEOUT 120)
endforeach()
