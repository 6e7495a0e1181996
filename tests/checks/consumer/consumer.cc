// consumer.cc - the same from C++, by way of headers that trove.h includes.
#include <trove_uploads.h>

#include <trove_streams.h>

#include <cstring>
#include <iostream>

int main() {
    trove_client *client = nullptr;
    trove_error error{};
    trove_client_options options;
    trove_client_options_init(&options);
    options.name = "consumer";
    trove_pool_options pool_options;
    trove_pool_options_init(&pool_options);
    const trove_status status = trove_connect("ipc:///nowhere/troved.sock", &options, &client, &error);
    std::cout << "libtrove " << trove_version() << ": " << trove_status_name(status) << ": " << error.message << '\n';
    return status == TROVE_UNAVAILABLE && client == nullptr && std::strcmp(trove_version(), "0.1.0") == 0 ? 0 : 1;
}
