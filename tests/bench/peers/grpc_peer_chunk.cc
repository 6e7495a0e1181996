/* grpc_peer_chunk.cc - chunks and feedback to ByteBuffers and back. See grpc_peer.h.
 *
 * A chunk is written as protobuf by hand: a header that gRPC keeps inline in its slice, then a slice that refers to the
 * ring. It is read where gRPC received it, slice by slice.
 */
#include "bench_checksum.h"
#include "grpc_peer.h"

#include <algorithm>
#include <cstring>
#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>

namespace peer {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using trove::bench::Feedback;

namespace {

/* Tag octets of Chunk: field number and wire type (1: 64 bits, 2: length first). */
constexpr uint8_t tag_index = 1 << 3 | 1;
constexpr uint8_t tag_checksum = 2 << 3 | 1;
constexpr uint8_t tag_payload = 3 << 3 | 2;
constexpr size_t header_bytes_max = 9 + 9 + 1 + 5;

/* XXH3 over the next bytes of the stream, without joining its slices. */
bool checksum_next(CodedInputStream *input, size_t bytes, uint64_t index, uint64_t *checksum) {
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    unsigned char stamp[sizeof index];
    size_t done = 0;
    while (done < bytes) {
        const void *data = nullptr;
        int available = 0;
        if (!input->GetDirectBufferPointer(&data, &available))
            return false;
        size_t piece = std::min(static_cast<size_t>(available), bytes - done);
        if (done < sizeof stamp)
            std::memcpy(stamp + done, data, std::min(piece, sizeof stamp - done));
        XXH3_64bits_update(&state, data, piece);
        input->Skip(static_cast<int>(piece));
        done += piece;
    }
    *checksum = XXH3_64bits_digest(&state);
    return std::memcmp(stamp, &index, std::min(bytes, sizeof stamp)) == 0;
}

} // namespace

Ring::Ring(uint32_t count, size_t chunk_bytes)
    : count_(count), chunk_bytes_(chunk_bytes), memory_(static_cast<size_t>(count) * chunk_bytes) {
}

grpc::ByteBuffer Ring::encode(uint64_t index, size_t bytes) {
    unsigned char *slot = memory_.data() + (index % count_) * chunk_bytes_;
    std::memcpy(slot, &index, std::min(bytes, sizeof index)); /* so that no two chunks are equal */
    uint8_t header[header_bytes_max];
    uint8_t *end = header;
    *end++ = tag_index;
    end = CodedOutputStream::WriteLittleEndian64ToArray(index, end);
    *end++ = tag_checksum;
    end = CodedOutputStream::WriteLittleEndian64ToArray(XXH3_64bits(slot, bytes), end);
    *end++ = tag_payload;
    end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(bytes), end);
    grpc::Slice slices[] = {grpc::Slice(header, static_cast<size_t>(end - header)),
                            grpc::Slice(slot, bytes, grpc::Slice::STATIC_SLICE)};
    return grpc::ByteBuffer(slices, 2);
}

bool chunk_verify(grpc::ByteBuffer *message, uint64_t index, size_t *payload_bytes) {
    grpc::ProtoBufferReader reader(message);
    CodedInputStream input(&reader);
    uint64_t found_index = 0;
    uint64_t declared = 0;
    uint64_t computed = 0;
    uint32_t bytes = 0;
    bool ok = input.ReadTag() == tag_index && input.ReadLittleEndian64(&found_index) && input.ReadTag() == tag_checksum &&
              input.ReadLittleEndian64(&declared) && input.ReadTag() == tag_payload && input.ReadVarint32(&bytes) &&
              checksum_next(&input, bytes, index, &computed) && computed == declared && found_index == index;
    *payload_bytes = bytes;
    return ok;
}

grpc::ByteBuffer feedback_encode(const Feedback &feedback) {
    grpc::ByteBuffer message;
    bool own = false;
    grpc::SerializationTraits<Feedback>::Serialize(feedback, &message, &own);
    return message;
}

bool feedback_decode(grpc::ByteBuffer *message, Feedback *feedback) {
    return grpc::SerializationTraits<Feedback>::Deserialize(message, feedback).ok();
}

} // namespace peer
