# Unit tests of troved's shell: log, config, default places, pools.
foreach(module
        access
        acquire_queue
        address_limits
        audit
        authorized_keys
        bandwidth
        budget
        config
        feed
        flush_policy
        gap_check
        grant
        keyring
        log
        pace
        places
        quota
        refusals
        relief
        rights
        session
        stream_list
        throttle
        units
        wire
        block_sums)
    set(test test_${module})
    add_executable(${test} ${CMAKE_CURRENT_LIST_DIR}/${test}.c)
    target_include_directories(${test} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/../support)
    target_link_libraries(${test} PRIVATE trove_server PkgConfig::CMOCKA PkgConfig::JANSSON trove_flags)
    add_test(NAME unit/${test} COMMAND ${test})
    set_tests_properties(unit/${test} PROPERTIES TIMEOUT 120)
endforeach()
target_compile_definitions(test_config PRIVATE TROVE_EXAMPLE_CONFIG="${PROJECT_SOURCE_DIR}/deploy/troved.yaml")
target_compile_definitions(test_access PRIVATE TROVE_PROTO="${PROJECT_SOURCE_DIR}/proto/trove/v1/trove.proto")
target_link_options(test_session PRIVATE -Wl,--wrap=tvs_resume_create -Wl,--wrap=tvs_resume_flush
                                         -Wl,--wrap=tvs_rpc_invoke)
target_link_options(test_throttle PRIVATE -Wl,--wrap=tv_now_ns -Wl,--wrap=tv_timer_arm -Wl,--wrap=tv_timer_cancel)
