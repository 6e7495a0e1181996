/* grpc_peer_stream.h - the two sides of a stream of chunks, each a reactor base that serves on the client (ClientBidiReactor) as
 * well as on the server (ServerBidiReactor). See grpc_peer.h.
 *
 * gRPC allows one write under way at a time. Whoever finds none under way claims it (writing_) under the lock and fills
 * and starts it outside; so the checksum of a chunk is never taken under the lock.
 */
#ifndef TROVE_BENCH_GRPC_PEER_STREAM_H
#define TROVE_BENCH_GRPC_PEER_STREAM_H

#include "grpc_peer.h"

#include <cstdio>
#include <mutex>

namespace peer {

/* Sends chunks within the window; the subclass reads feedback and hands it over. */
template <typename Reactor> class ChunkSender : public Reactor {
  public:
    void OnWriteDone(bool ok) override {
        {
            std::lock_guard<std::mutex> guard(lock_);
            writing_ = false;
            broken_ = broken_ || !ok;
        }
        send_next();
    }

  protected:
    void send_start(Ring *ring, uint64_t bytes) {
        ring_ = ring;
        bytes_left_ = bytes;
        send_next();
    }

    /* Returns false if the feedback acks a chunk out of turn. */
    bool send_feedback(const trove::bench::Feedback &feedback) {
        {
            std::lock_guard<std::mutex> guard(lock_);
            if (feedback.acked_index() != acked_++)
                return false;
        }
        send_next();
        return true;
    }

    /* Called once: no more is written, chunks in flight may still be acked. */
    virtual void send_ended() = 0;

    bool all_acked() {
        std::lock_guard<std::mutex> guard(lock_);
        return ended_ && !writing_ && acked_ == sent_;
    }

    uint64_t sent_chunks() {
        std::lock_guard<std::mutex> guard(lock_);
        return sent_;
    }

    uint64_t sent_bytes() {
        std::lock_guard<std::mutex> guard(lock_);
        return sent_bytes_;
    }

  private:
    /* Claims the right to write chunk *index of *bytes. Sets *ended if the end was reached by this call. */
    bool claim(uint64_t *index, size_t *bytes, bool *ended) {
        std::lock_guard<std::mutex> guard(lock_);
        if (writing_ || ended_ || sent_ - acked_ >= ring_->count())
            return false;
        *bytes = broken_ ? 0 : bench_take(&bytes_left_, ring_->chunk_bytes());
        if (*bytes == 0) {
            ended_ = true;
            *ended = true;
            return false;
        }
        writing_ = true;
        *index = sent_++;
        sent_bytes_ += *bytes;
        return true;
    }

    void send_next() {
        uint64_t index = 0;
        size_t bytes = 0;
        bool ended = false;
        if (claim(&index, &bytes, &ended)) {
            message_ = ring_->encode(index, bytes);
            this->StartWrite(&message_);
        } else if (ended) {
            send_ended();
        }
    }

    Ring *ring_ = nullptr;     /* constant after send_start */
    grpc::ByteBuffer message_; /* whoever holds writing_ */
    std::mutex lock_;          /* the rest */
    uint64_t bytes_left_ = 0;
    uint64_t sent_ = 0;
    uint64_t acked_ = 0;
    uint64_t sent_bytes_ = 0;
    bool writing_ = false;
    bool broken_ = false;
    bool ended_ = false;
};

/* Reads, verifies and acks chunks. */
template <typename Reactor> class ChunkReceiver : public Reactor {
  public:
    void OnReadDone(bool ok) override {
        if (!ok) {
            receive_closed();
            return;
        }
        size_t bytes = 0;
        if (!chunk_verify(&incoming_, received_, &bytes)) {
            std::fprintf(stderr, "grpc_peer: chunk %llu is damaged\n", static_cast<unsigned long long>(received_));
            receive_damaged();
            return;
        }
        received_++;
        received_bytes_ += bytes;
        incoming_.Clear();
        ack_queue(); /* before the next read can meet the end */
        this->StartRead(&incoming_);
        ack_next();
    }

    void OnWriteDone(bool ok) override {
        bool idle = false;
        {
            std::lock_guard<std::mutex> guard(lock_);
            writing_ = false;
            broken_ = broken_ || !ok;
            idle = broken_ || acked_ == queued_;
        }
        if (!idle)
            ack_next();
        else if (closed_and_idle())
            receive_finished();
    }

  protected:
    /* Starts with first (if any) as the first message written. */
    void receive_start(const trove::bench::Feedback *first) {
        if (first != nullptr) {
            writing_ = true;
            outgoing_ = feedback_encode(*first);
            this->StartWrite(&outgoing_);
        }
        this->StartRead(&incoming_);
    }

    /* Called once, after the sender's end and the last ack. */
    virtual void receive_finished() = 0;
    virtual void receive_damaged() = 0;

    uint64_t received_chunks() const {
        return received_;
    }

    uint64_t received_bytes() const {
        return received_bytes_;
    }

  private:
    void ack_queue() {
        std::lock_guard<std::mutex> guard(lock_);
        queued_++;
    }

    void ack_next() {
        trove::bench::Feedback feedback;
        {
            std::lock_guard<std::mutex> guard(lock_);
            if (writing_ || broken_ || acked_ == queued_)
                return;
            writing_ = true;
            feedback.set_acked_index(acked_++);
        }
        outgoing_ = feedback_encode(feedback);
        this->StartWrite(&outgoing_);
    }

    void receive_closed() {
        bool finished = false;
        {
            std::lock_guard<std::mutex> guard(lock_);
            closed_ = true;
            finished = claim_finish();
        }
        if (finished)
            receive_finished();
    }

    bool closed_and_idle() {
        std::lock_guard<std::mutex> guard(lock_);
        return claim_finish();
    }

    /* Under the lock. True once: when the sender has ended and nothing is left to write. */
    bool claim_finish() {
        bool claimed = closed_ && !writing_ && (broken_ || acked_ == queued_) && !finished_;
        finished_ = finished_ || claimed;
        return claimed;
    }

    grpc::ByteBuffer incoming_; /* reads come one at a time */
    uint64_t received_ = 0;
    uint64_t received_bytes_ = 0;
    grpc::ByteBuffer outgoing_; /* whoever holds writing_ */
    std::mutex lock_;           /* the rest */
    uint64_t queued_ = 0;
    uint64_t acked_ = 0;
    bool writing_ = false;
    bool broken_ = false;
    bool closed_ = false;
    bool finished_ = false;
};

} // namespace peer

#endif
