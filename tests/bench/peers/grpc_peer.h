/* grpc_peer.h - the gRPC peer of the benchmark: what gRPC C++ reaches when it is treated well. Callback API on both ends, no busy
 * loops, insecure channel credentials or TLS, no message size limits, HTTP/2 frames and windows large enough for the chunks.
 *
 * grpc_peer.cc         main: the server and its options, the client's modes
 * grpc_peer_chunk.cc   chunks to ByteBuffers and back without copying
 * grpc_peer_stream.h   sending and receiving side of a stream, the same code on client and server
 * grpc_peer_client.cc  the client's streams
 * grpc_peer_unary.cc   echo calls
 *
 * Streams use raw methods with ByteBuffer: payloads go out of the buffers and are verified where gRPC has received them,
 * which is faster than generated messages (a copy less on each side) and the same bytes on the wire. Echo calls use
 * generated messages: at 1 KiB there is nothing to gain.
 *
 * Threads: gRPC's own run every callback; main only waits. What a reactor's read and write callbacks share is under its
 * lock.
 */
#ifndef TROVE_BENCH_GRPC_PEER_H
#define TROVE_BENCH_GRPC_PEER_H

#include "bench_client.h"
#include "grpc_peer.grpc.pb.h"

#include <cstddef>
#include <cstdint>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <string>
#include <vector>

namespace peer {

/* tcp://HOST:PORT and ipc:///PATH to gRPC's names; anything else as it is (unix:PATH, HOST:PORT). */
std::string grpc_address(const std::string &url);

grpc::ChannelArguments channel_arguments();
/* Connected, or nullptr after 10 s. Every channel has a connection of its own. */
std::shared_ptr<grpc::Channel> channel_connect(const bench_options &options);

/* Buffers used in turn by one sender. Slot i may be written again once chunk i - count is acked. */
class Ring {
  public:
    Ring(uint32_t count, size_t chunk_bytes);
    /* Stamps and checksums the slot for this chunk; the message refers to the slot, it doesn't copy it. */
    grpc::ByteBuffer encode(uint64_t index, size_t bytes);
    uint32_t count() const {
        return count_;
    }
    size_t chunk_bytes() const {
        return chunk_bytes_;
    }

  private:
    uint32_t count_;
    size_t chunk_bytes_;
    std::vector<unsigned char> memory_;
};

/* Reads a Chunk where it lies. Returns false unless it is well formed, carries this index and its checksum is right. */
bool chunk_verify(grpc::ByteBuffer *message, uint64_t index, size_t *payload_bytes);

grpc::ByteBuffer feedback_encode(const trove::bench::Feedback &feedback);
bool feedback_decode(grpc::ByteBuffer *message, trove::bench::Feedback *feedback);

/* The client's modes. Return false after a message on stderr. */
bool client_stream(const bench_options &options, bench_report *report);
bool client_unary(const bench_options &options, bench_report *report);

} // namespace peer

#endif
