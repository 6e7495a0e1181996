// roundtrip.cc - libtrove from C++: a string goes up and comes down.
//
//   roundtrip URL BUCKET/KEY TEXT
#include "trove.h"

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

struct Close {
    void operator()(trove_client *client) const {
        trove_close(client);
    }
};
using Client = std::unique_ptr<trove_client, Close>;

void check(trove_status status, const trove_error &error) {
    if (status != TROVE_OK)
        throw std::runtime_error(std::string(trove_status_name(status)) + ": " + error.message);
}

Client connect(const char *url) {
    trove_client *client = nullptr;
    trove_error error{};
    check(trove_connect(url, nullptr, &client, &error), error);
    return Client(client);
}

std::string get(const Client &client, const std::string &bucket, const std::string &key, std::size_t capacity) {
    std::string text(capacity, '\0');
    std::size_t size = 0;
    trove_error error{};
    check(trove_get_memory(client.get(), bucket.c_str(), key.c_str(), &text[0], text.size(), nullptr, &size, nullptr, &error),
          error);
    text.resize(size);
    return text;
}

} // namespace

int main(int argc, char **argv) {
    const std::string name = argc == 4 ? argv[2] : "";
    const auto slash = name.find('/');
    if (slash == std::string::npos) {
        std::cerr << "usage: " << argv[0] << " URL BUCKET/KEY TEXT\n";
        return 2;
    }
    try {
        const std::string bucket = name.substr(0, slash), key = name.substr(slash + 1), text = argv[3];
        const Client client = connect(argv[1]);
        trove_error error{};
        const trove_status made = trove_bucket_create(client.get(), bucket.c_str(), 0, &error);
        if (made != TROVE_ALREADY_EXISTS)
            check(made, error);
        check(trove_put_memory(client.get(), bucket.c_str(), key.c_str(), text.data(), text.size(), nullptr, nullptr, &error),
              error);
        std::cout << get(client, bucket, key, text.size()) << '\n';
        return 0;
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
}
