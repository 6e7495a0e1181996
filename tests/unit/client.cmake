# Unit tests of the client library's inside: they see its headers.
function(trove_client_unit_test name)
    add_executable(${name} ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/client/src)
    target_link_libraries(${name} PRIVATE trove_client trove_common PkgConfig::CMOCKA trove_flags)
    add_test(NAME unit/${name} COMMAND ${name})
    set_tests_properties(unit/${name} PROPERTIES TIMEOUT 120)
endfunction()

trove_client_unit_test(test_client_options)
trove_client_unit_test(test_job_thread)
target_link_options(test_job_thread PRIVATE -Wl,--wrap=pthread_create)
trove_client_unit_test(test_limiter)
trove_client_unit_test(test_pool_queue)
trove_client_unit_test(test_stream_hooks)

# Those that talk to a server that does as the test says.
if(NOT TARGET trove_test_support)
    add_subdirectory(${CMAKE_CURRENT_LIST_DIR}/../support ${CMAKE_CURRENT_BINARY_DIR}/support)
endif()
foreach(test bad_server two_way)
    trove_client_unit_test(test_${test})
    target_link_libraries(test_${test} PRIVATE trove_scripted_server)
endforeach()
