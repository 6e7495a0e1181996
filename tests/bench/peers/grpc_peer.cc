/* grpc_peer.cc - the gRPC peer's program: the server, and the client's entry. See grpc_peer.h for what it is and how its files
 * lie.
 *
 *   grpc_peer server URL [CERTIFICATE KEY]         prints "msg=ready listen=URL" with the port it got
 *   grpc_peer client MODE --server URL [OPTION...] [CERTIFICATE]
 *                                                  up, down, both, unary-pipelined, unary-one; options of bench_client.h
 *
 * CERTIFICATE and KEY are PEM files. With them it speaks TLS, and the client trusts that certificate alone.
 */
#include "grpc_peer.h"
#include "grpc_peer_stream.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

namespace peer {

using trove::bench::EchoMessage;
using trove::bench::Feedback;
using trove::bench::Peer;

namespace {

using ServerReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

/* HTTP/2's largest frame, a receive window that a full window of 16 chunks fits into, and reads of a whole chunk: against
 * gRPC's defaults (16 KiB frames, reads that start at 8 KiB) a third more bytes a second. */
constexpr struct {
    const char *name;
    int value;
} tuning[] = {
    {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, (1 << 24) - 1}, {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 32 << 20},
    {GRPC_ARG_TCP_READ_CHUNK_SIZE, 1 << 20},        {GRPC_ARG_TCP_MIN_READ_CHUNK_SIZE, 1 << 20},
    {GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, 1 << 20},
};

/* Rings of streams that have ended wait here, so that a later one finds memory that was touched before. */
class RingPool {
  public:
    std::unique_ptr<Ring> get(uint32_t count, size_t chunk_bytes) {
        std::lock_guard<std::mutex> guard(lock_);
        for (auto &ring : idle_) {
            if (ring->count() == count && ring->chunk_bytes() == chunk_bytes) {
                std::unique_ptr<Ring> found = std::move(ring);
                ring = std::move(idle_.back());
                idle_.pop_back();
                return found;
            }
        }
        return std::make_unique<Ring>(count, chunk_bytes);
    }

    void put(std::unique_ptr<Ring> ring) {
        std::lock_guard<std::mutex> guard(lock_);
        if (ring != nullptr && idle_.size() < idle_max)
            idle_.push_back(std::move(ring));
    }

  private:
    static constexpr size_t idle_max = 8;
    std::mutex lock_;
    std::vector<std::unique_ptr<Ring>> idle_;
};

class UploadCall final : public ChunkReceiver<ServerReactor> {
  public:
    UploadCall() {
        receive_start(nullptr);
    }

    void OnDone() override {
        delete this;
    }

  private:
    void receive_finished() override {
        Finish(grpc::Status::OK);
    }

    void receive_damaged() override {
        Finish(grpc::Status(grpc::StatusCode::DATA_LOSS, "checksum"));
    }
};

class DownloadCall final : public ChunkSender<ServerReactor> {
  public:
    explicit DownloadCall(RingPool *pool) : pool_(pool) {
        StartRead(&incoming_);
    }

    void OnReadDone(bool ok) override {
        Feedback feedback;
        if (!ok || !feedback_decode(&incoming_, &feedback) || !handle(feedback))
            finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "feedback"));
        else if (all_acked())
            finish(grpc::Status::OK);
        else
            StartRead(&incoming_);
    }

    void OnDone() override {
        pool_->put(std::move(ring_));
        delete this;
    }

  private:
    /* The end may be met by the write callback after the last ack was read; a read that is then still under way, or
     * started by OnReadDone at the same moment, ends with the call. */
    void send_ended() override {
        if (all_acked())
            finish(grpc::Status::OK);
    }

    bool handle(const Feedback &feedback) {
        if (ring_ != nullptr)
            return send_feedback(feedback);
        const auto &open = feedback.open();
        if (open.window() == 0 || open.window() > 1024 || open.chunk_bytes() == 0 || open.chunk_bytes() > 64 << 20)
            return false;
        ring_ = pool_->get(open.window(), open.chunk_bytes());
        send_start(ring_.get(), open.bytes());
        return true;
    }

    void finish(const grpc::Status &status) {
        if (!finished_.test_and_set())
            Finish(status);
    }

    RingPool *pool_;
    std::unique_ptr<Ring> ring_;
    grpc::ByteBuffer incoming_;
    std::atomic_flag finished_ = ATOMIC_FLAG_INIT;
};

using RawPeer =
    Peer::WithRawCallbackMethod_Upload<Peer::WithRawCallbackMethod_Download<Peer::WithCallbackMethod_Echo<Peer::Service>>>;

class Service final : public RawPeer {
  public:
    ServerReactor *Upload(grpc::CallbackServerContext * /*context*/) override {
        return new UploadCall;
    }

    ServerReactor *Download(grpc::CallbackServerContext * /*context*/) override {
        return new DownloadCall(&pool_);
    }

    grpc::ServerUnaryReactor *Echo(grpc::CallbackServerContext *context, const EchoMessage *request,
                                   EchoMessage *response) override {
        response->set_payload(request->payload());
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

  private:
    RingPool pool_;
};

/* Empty if it can't be read: then there is nothing to serve, or nothing to trust. */
std::string file_text(const char *path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::shared_ptr<grpc::ServerCredentials> tls_server_credentials(const char *certificate, const char *key) {
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({file_text(key), file_text(certificate)});
    return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> tls_channel_credentials(const char *certificate) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = file_text(certificate);
    return grpc::SslCredentials(options);
}

int server_main(const std::string &url, const std::shared_ptr<grpc::ServerCredentials> &credentials) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    Service service;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.SetMaxReceiveMessageSize(-1);
    builder.SetMaxSendMessageSize(-1);
    for (const auto &argument : tuning)
        builder.AddChannelArgument(argument.name, argument.value);
    builder.AddListeningPort(grpc_address(url), credentials, &port);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr || port == 0) {
        std::fprintf(stderr, "grpc_peer: can't listen on %s\n", url.c_str());
        return 1;
    }
    bool tcp = url.rfind("tcp://", 0) == 0;
    std::string bound = tcp ? url.substr(0, url.rfind(':') + 1) + std::to_string(port) : url;
    std::printf("msg=ready listen=%s\n", bound.c_str());
    std::fflush(stdout);
    int signal_number = 0;
    sigwait(&signals, &signal_number);
    server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    return 0;
}

int client_main(int argc, char **argv) {
    bench_options options;
    if (bench_options_parse(argc, argv, &options) != 0)
        return 2;
    std::string mode = options.mode;
    bench_report report = {};
    report.p50_us = -1.0;
    report.p99_us = -1.0;
    bool ok = false;
    if (bench_mode_is_stream(options.mode)) {
        ok = client_stream(options, &report);
    } else if (mode == "unary-pipelined" || mode == "unary-one") {
        ok = client_unary(options, &report);
    } else {
        std::fprintf(stderr, "grpc_peer: unknown mode %s\n", options.mode);
        return 2;
    }
    if (ok)
        bench_report_print(&report);
    return ok ? 0 : 1;
}

} // namespace

std::string grpc_address(const std::string &url) {
    if (url.rfind("tcp://", 0) == 0)
        return url.substr(6);
    return url.rfind("ipc://", 0) == 0 ? "unix:" + url.substr(6) : url;
}

grpc::ChannelArguments channel_arguments() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    for (const auto &argument : tuning)
        arguments.SetInt(argument.name, argument.value);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return arguments;
}

std::shared_ptr<grpc::Channel> channel_connect(const bench_options &options) {
    auto credentials =
        options.arguments_count > 0 ? tls_channel_credentials(options.arguments[0]) : grpc::InsecureChannelCredentials();
    auto channel = grpc::CreateCustomChannel(grpc_address(options.server), credentials, channel_arguments());
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10))) {
        std::fprintf(stderr, "grpc_peer: can't connect to %s\n", options.server);
        return nullptr;
    }
    return channel;
}

} // namespace peer

int main(int argc, char **argv) {
    if (argc == 3 && std::strcmp(argv[1], "server") == 0)
        return peer::server_main(argv[2], grpc::InsecureServerCredentials());
    if (argc == 5 && std::strcmp(argv[1], "server") == 0)
        return peer::server_main(argv[2], peer::tls_server_credentials(argv[3], argv[4]));
    if (argc >= 3 && std::strcmp(argv[1], "client") == 0)
        return peer::client_main(argc - 1, argv + 1);
    std::fprintf(stderr, "usage: grpc_peer server URL [CERTIFICATE KEY] | "
                         "grpc_peer client MODE --server URL [OPTION...] [CERTIFICATE]\n");
    return 2;
}
