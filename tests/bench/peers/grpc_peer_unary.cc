/* grpc_peer_unary.cc - echo calls, a window of them under way: each answer starts the next call from its own callback, so no
 * thread is woken between calls. unary-one is a window of one. See grpc_peer.h. */
#include "grpc_peer.h"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>

namespace peer {

using trove::bench::EchoMessage;
using trove::bench::Peer;

namespace {

/* Calls left and slots still at work, shared by all of a run. */
struct Run {
    std::atomic<int64_t> calls_left{0};
    std::atomic<bool> failed{false};
    std::mutex lock;
    std::condition_variable changed;
    size_t active = 0; /* under the lock */

    bool claim() {
        return !failed && calls_left.fetch_sub(1) > 0;
    }

    void leave() {
        std::lock_guard<std::mutex> guard(lock);
        if (--active == 0)
            changed.notify_one();
    }

    void wait() {
        std::unique_lock<std::mutex> guard(lock);
        changed.wait(guard, [this] { return active == 0; });
    }
};

/* One call at a time; its messages are used again by the next one. Touched by one callback at a time. */
class Slot {
  public:
    Slot(Run *run, Peer::Stub *stub, size_t payload_bytes) : run_(run), stub_(stub) {
        request_.mutable_payload()->assign(payload_bytes, 'x');
    }

    ~Slot() {
        bench_latency_fini(&latency);
    }

    Slot(const Slot &) = delete;
    Slot &operator=(const Slot &) = delete;

    void next() {
        if (!run_->claim()) {
            run_->leave();
            return;
        }
        context_.emplace();
        started_s_ = bench_now_s();
        stub_->async()->Echo(&*context_, &request_, &response_, [this](const grpc::Status &status) { answered(status); });
    }

    bench_latency latency = {};

  private:
    void answered(const grpc::Status &status) {
        if (!status.ok() || response_.payload() != request_.payload()) {
            std::fprintf(stderr, "grpc_peer: echo failed: %s\n", status.error_message().c_str());
            run_->failed = true;
        }
        bench_latency_add(&latency, bench_now_s() - started_s_);
        next();
    }

    Run *run_;
    Peer::Stub *stub_;
    std::optional<grpc::ClientContext> context_;
    EchoMessage request_;
    EchoMessage response_;
    double started_s_ = 0.0;
};

int64_t calls_wanted(const bench_options &options) {
    uint64_t calls = options.count != 0 ? options.count : (options.bytes + options.chunk_bytes - 1) / options.chunk_bytes;
    return static_cast<int64_t>(calls);
}

void collect(const std::vector<std::unique_ptr<Slot>> &slots, const bench_options &options, bench_report *report) {
    bench_latency all = {};
    for (const auto &slot : slots)
        bench_latency_merge(&all, &slot->latency);
    report->ops = all.count;
    report->bytes = all.count * options.chunk_bytes;
    report->p50_us = bench_latency_percentile_us(&all, 0.50);
    report->p99_us = bench_latency_percentile_us(&all, 0.99);
    bench_latency_fini(&all);
}

} // namespace

bool client_unary(const bench_options &options, bench_report *report) {
    size_t window = std::string(options.mode) == "unary-one" ? 1 : options.window;
    Run run;
    std::vector<std::unique_ptr<Peer::Stub>> stubs;
    std::vector<std::unique_ptr<Slot>> slots;
    for (uint32_t connection = 0; connection < options.connections; connection++) {
        auto channel = channel_connect(options);
        if (channel == nullptr)
            return false;
        stubs.push_back(Peer::NewStub(channel));
        for (size_t index = 0; index < window; index++)
            slots.push_back(std::make_unique<Slot>(&run, stubs.back().get(), options.chunk_bytes));
    }
    run.active = slots.size();
    run.calls_left = calls_wanted(options);
    double started_s = bench_now_s();
    double started_cpu_s = bench_cpu_s();
    for (auto &slot : slots)
        slot->next();
    run.wait();
    report->seconds = bench_now_s() - started_s;
    report->cpu_client_s = bench_cpu_s() - started_cpu_s;
    collect(slots, options, report);
    return !run.failed;
}

} // namespace peer
