# Tests of libtrove against a real troved, with both stores; and the examples.
if(NOT TARGET trove_test_support)
    add_subdirectory(${CMAKE_CURRENT_LIST_DIR}/../support ${CMAKE_CURRENT_BINARY_DIR}/support)
endif()

add_library(trove_client_test STATIC ${CMAKE_CURRENT_LIST_DIR}/client_test.c ${CMAKE_CURRENT_LIST_DIR}/two_way_test.c
    ${CMAKE_CURRENT_LIST_DIR}/coming_and_going.c ${CMAKE_CURRENT_LIST_DIR}/cut_proxy.c)
target_include_directories(trove_client_test PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(trove_client_test PUBLIC trove_client trove_test_support PRIVATE trove_flags)

foreach(test
        objects
        conditions
        files
        rest
        streams
        states
        two_way
        two_way_ends
        two_way_limits
        follow
        lossy
        seek
        buffer
        overflow
        modes
        hooks
        hook_sets
        late_control
        moved
        metrics
        pools
        pool_streams
        server_pools
        outside
        statistics
        bandwidth
        memory
        failures
        reconnect
        resume
        damage
        restart
        resume_down)
    set(program test_client_${test})
    add_executable(${program} ${CMAKE_CURRENT_LIST_DIR}/${program}.c)
    target_link_libraries(${program} PRIVATE trove_client_test trove_flags)
    add_test(NAME integration/client_${test}_mem COMMAND ${program} mem://)
    add_test(NAME integration/client_${test}_local COMMAND ${program} local://%s/store)
    set_tests_properties(integration/client_${test}_mem integration/client_${test}_local PROPERTIES TIMEOUT 300)
endforeach()

target_link_options(test_client_late_control PRIVATE -Wl,--wrap=pthread_mutex_lock -Wl,--wrap=tvc_client_send_on)

# Without memory.
add_executable(test_client_no_memory ${CMAKE_CURRENT_LIST_DIR}/test_client_no_memory.c)
target_link_libraries(test_client_no_memory PRIVATE trove_client_test trove_flags)
foreach(wrapped malloc calloc realloc aligned_alloc strdup strndup mmap nng_aio_alloc nng_stream_dialer_alloc
        trove__v1__open__unpack)
    target_link_options(test_client_no_memory PRIVATE -Wl,--wrap=${wrapped})
endforeach()
add_test(NAME integration/client_no_memory COMMAND test_client_no_memory mem://)
set_tests_properties(integration/client_no_memory PROPERTIES TIMEOUT 300)

# A server that the test plays itself, with no store.
foreach(test odd_server odd_resume odd_moments)
    set(program test_client_${test})
    add_executable(${program} ${CMAKE_CURRENT_LIST_DIR}/${program}.c ${CMAKE_CURRENT_LIST_DIR}/odd_server.c
        ${CMAKE_CURRENT_LIST_DIR}/../interop/raw_client.c
        ${CMAKE_CURRENT_LIST_DIR}/../interop/raw_frames.c)
    target_include_directories(${program} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/../interop)
    target_link_libraries(${program} PRIVATE trove_client_test trove_stock_client trove_flags)
    add_test(NAME integration/client_${test} COMMAND ${program})
    set_tests_properties(integration/client_${test} PROPERTIES TIMEOUT 300)
endforeach()

target_include_directories(test_client_odd_moments PRIVATE ${PROJECT_SOURCE_DIR}/client/src)
foreach(wrapped tv_chunk_checksum tvc_client_begin tv_conn_send tvc_block_sums_add nng_stream_dialer_dial)
    target_link_options(test_client_odd_moments PRIVATE -Wl,--wrap=${wrapped})
endforeach()

# Resumable uploads that are begun frame by frame.
add_executable(test_client_uploads ${CMAKE_CURRENT_LIST_DIR}/test_client_uploads.c
    ${CMAKE_CURRENT_LIST_DIR}/../interop/resumable_client.c ${CMAKE_CURRENT_LIST_DIR}/../interop/raw_client.c
    ${CMAKE_CURRENT_LIST_DIR}/../interop/raw_frames.c)
target_include_directories(test_client_uploads PRIVATE ${CMAKE_CURRENT_LIST_DIR}/../interop)
target_link_libraries(test_client_uploads PRIVATE trove_client_test trove_stock_client trove_flags)
add_test(NAME integration/client_uploads_mem COMMAND test_client_uploads mem://)
add_test(NAME integration/client_uploads_local COMMAND test_client_uploads local://%s/store)
set_tests_properties(integration/client_uploads_mem integration/client_uploads_local PROPERTIES TIMEOUT 300)

find_program(BASH bash REQUIRED)
set(examples $<TARGET_FILE:example_upload> $<TARGET_FILE:example_download> $<TARGET_FILE:example_pool>
    $<TARGET_FILE:example_two_way>)
if(TARGET example_roundtrip)
    list(APPEND examples $<TARGET_FILE:example_roundtrip>)
endif()
add_test(NAME integration/examples COMMAND ${BASH} ${CMAKE_CURRENT_LIST_DIR}/examples.sh $<TARGET_FILE:troved> ${examples})
set_tests_properties(integration/examples PROPERTIES TIMEOUT 120)
