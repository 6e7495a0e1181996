# Tests of libtrove against a real troved, with both stores; and the examples.
if(NOT TARGET trove_test_support)
    add_subdirectory(${CMAKE_CURRENT_LIST_DIR}/../support ${CMAKE_CURRENT_BINARY_DIR}/support)
endif()

foreach(test objects streams failures)
    set(program test_client_${test})
    add_executable(${program} ${CMAKE_CURRENT_LIST_DIR}/${program}.c ${CMAKE_CURRENT_LIST_DIR}/client_test.c)
    target_link_libraries(${program} PRIVATE trove_client trove_test_support trove_flags)
    add_test(NAME integration/client_${test}_mem COMMAND ${program} mem://)
    add_test(NAME integration/client_${test}_local COMMAND ${program} local://%s/store)
    set_tests_properties(integration/client_${test}_mem integration/client_${test}_local PROPERTIES TIMEOUT 300)
endforeach()
