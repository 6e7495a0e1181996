/* grpc_peer_client.cc - the client's streams. Both ways at once are two calls of one channel, and so of one connection: each is
 * the same code as on its own, and one call that sent chunks and acks mixed would have them wait for each other's writes. See
 * grpc_peer.h. */
#include "grpc_peer_stream.h"

#include <condition_variable>
#include <grpcpp/generic/generic_stub.h>

namespace peer {

using trove::bench::Feedback;

namespace {

using ClientReactor = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

/* What a transfer hands to the waiting main thread. */
class Outcome {
  public:
    void set(const grpc::Status &status) {
        std::lock_guard<std::mutex> guard(lock_);
        status_ = status;
        done_ = true;
        changed_.notify_one();
    }

    grpc::Status wait() {
        std::unique_lock<std::mutex> guard(lock_);
        changed_.wait(guard, [this] { return done_; });
        return status_;
    }

  private:
    std::mutex lock_;
    std::condition_variable changed_;
    grpc::Status status_;
    bool done_ = false;
};

/* One connection's stream, either way. */
class Transfer {
  public:
    virtual ~Transfer() = default;
    virtual void start(uint64_t bytes) = 0;
    /* Waits for the end and adds what was transferred to the report. */
    virtual bool finish(bench_report *report) = 0;

  protected:
    explicit Transfer(const std::shared_ptr<grpc::Channel> &channel) : stub_(channel) {
    }

    bool succeeded() {
        grpc::Status status = outcome_.wait();
        if (!status.ok())
            std::fprintf(stderr, "grpc_peer: %d: %s\n", status.error_code(), status.error_message().c_str());
        return status.ok();
    }

    grpc::ClientContext context_;
    grpc::GenericStub stub_;
    Outcome outcome_;
};

class Upload final : public Transfer, public ChunkSender<ClientReactor> {
  public:
    Upload(const std::shared_ptr<grpc::Channel> &channel, const bench_options &options)
        : Transfer(channel), ring_(options.window, options.chunk_bytes) {
    }

    void start(uint64_t bytes) override {
        stub_.PrepareBidiStreamingCall(&context_, "/trove.bench.Peer/Upload", grpc::StubOptions(), this);
        StartRead(&incoming_);
        send_start(&ring_, bytes);
        StartCall();
    }

    bool finish(bench_report *report) override {
        bool ok = succeeded();
        if (ok && !all_acked()) {
            std::fprintf(stderr, "grpc_peer: the stream ended before its last ack\n");
            ok = false;
        }
        report->bytes += sent_bytes();
        report->ops += sent_chunks();
        return ok;
    }

    void OnReadDone(bool ok) override {
        Feedback feedback;
        if (!ok)
            return;
        if (!feedback_decode(&incoming_, &feedback) || !send_feedback(feedback)) {
            context_.TryCancel();
            return;
        }
        StartRead(&incoming_);
    }

    void OnDone(const grpc::Status &status) override {
        outcome_.set(status);
    }

  private:
    void send_ended() override {
        StartWritesDone();
    }

    Ring ring_;
    grpc::ByteBuffer incoming_;
};

class Download final : public Transfer, public ChunkReceiver<ClientReactor> {
  public:
    Download(const std::shared_ptr<grpc::Channel> &channel, const bench_options &options) : Transfer(channel) {
        open_.mutable_open()->set_window(options.window);
        open_.mutable_open()->set_chunk_bytes(options.chunk_bytes);
    }

    void start(uint64_t bytes) override {
        stub_.PrepareBidiStreamingCall(&context_, "/trove.bench.Peer/Download", grpc::StubOptions(), this);
        open_.mutable_open()->set_bytes(bytes);
        receive_start(&open_);
        StartCall();
    }

    bool finish(bench_report *report) override {
        bool ok = succeeded();
        report->bytes += received_bytes();
        report->ops += received_chunks();
        return ok;
    }

    void OnDone(const grpc::Status &status) override {
        outcome_.set(status);
    }

  private:
    void receive_finished() override {
    }

    void receive_damaged() override {
        context_.TryCancel();
    }

    Feedback open_;
};

} // namespace

bool client_stream(const bench_options &options, bench_report *report) {
    const std::string mode = options.mode;
    std::vector<std::unique_ptr<Transfer>> transfers;
    for (uint32_t index = 0; index < options.connections; index++) {
        auto channel = channel_connect(options);
        if (channel == nullptr)
            return false;
        if (mode != "up")
            transfers.push_back(std::make_unique<Download>(channel, options));
        if (mode != "down")
            transfers.push_back(std::make_unique<Upload>(channel, options));
    }
    double started_s = bench_now_s();
    double started_cpu_s = bench_cpu_s();
    const size_t ways = mode == "both" ? 2 : 1;
    for (size_t index = 0; index < transfers.size(); index++)
        transfers[index]->start(bench_share(&options, static_cast<uint32_t>(index / ways)));
    bool ok = true;
    for (auto &transfer : transfers)
        ok = transfer->finish(report) && ok;
    report->seconds = bench_now_s() - started_s;
    report->cpu_client_s = bench_cpu_s() - started_cpu_s;
    return ok;
}

} // namespace peer
