/* Runs the codec over a byte string in pieces, as a caller would; every buffer is exactly as long as it may be used, so that a
 * sanitizer sees each byte read or written beyond. */
#ifndef AIRGAP_FUZZ_STEPS_H
#define AIRGAP_FUZZ_STEPS_H

#include <stdio.h>
#include <stdlib.h>

#include "_tokens_decode.h"
#include "_tokens_encode.h"

struct result {
    enum status status; /* NEED_INPUT: all of it was taken */
    uint8_t *bytes;
    size_t size;
};

typedef enum status step_function(void *codec, struct span *span);

static enum status step_decoder(void *codec, struct span *span) { return decode_step(codec, span); }
static enum status step_encoder(void *codec, struct span *span) { return encode_step(codec, span); }

static void die(const char *what)
{
    fprintf(stderr, "property violated: %s\n", what);
    abort();
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

static void append(struct result *result, const uint8_t *bytes, size_t size)
{
    if (!size)
        return;
    result->bytes = realloc(result->bytes, result->size + size);
    memcpy(result->bytes + result->size, bytes, size);
    result->size += size;
}

/* One step with room that grows from `room` on; the bytes consumed. */
static size_t one_step(void *codec, step_function *step, const uint8_t *data, size_t size, bool final, size_t room, struct result *result)
{
    uint8_t *input = malloc(size + !size);
    struct span span = {.in = input, .in_end = input + size, .final = final};
    if (size)
        memcpy(input, data, size);
    do {
        uint8_t *output = malloc(room);
        span.out = output;
        span.out_end = output + room;
        result->status = step(codec, &span);
        append(result, output, (size_t)(span.out - output));
        free(output);
        room *= 2;
        if (room > 16 * size + 4 * MAX_GZIP_HEADER + 4096)
            die("output is bounded by 16 times the input");
    } while (result->status == NEED_ROOM);
    size_t consumed = (size_t)(span.in - input);
    free(input);
    return consumed;
}

/* All of the data: at once where `seed` is 0, else in pieces of random sizes. */
static struct result convert(size_t codec_size, step_function *step, const uint8_t *data, size_t size, uint32_t seed)
{
    struct result result = {.status = NEED_INPUT};
    void *codec = calloc(1, codec_size);
    size_t start = 0, end = seed ? 0 : size;

    for (;;) {
        if (seed) {
            uint32_t random = next_random(&seed);
            end += smaller(random & 3 ? random >> 2 & 1023 : random >> 2 & 7, size - end);
        }
        bool final = end == size;
        size_t room = seed ? 1 + next_random(&seed) % 2048 : size + 64;
        size_t consumed = one_step(codec, step, data + start, end - start, final, room, &result);
        if (result.status != NEED_INPUT)
            break;
        start += consumed;
        if (end - start > MAX_GZIP_HEADER + 4)
            die("little is left over");
        if (final) {
            if (start != size)
                die("the last step takes all");
            break;
        }
    }
    free(codec);
    return result;
}

static inline struct result to_tokens(const uint8_t *data, size_t size, uint32_t seed)
{
    return convert(sizeof(struct decoder), step_decoder, data, size, seed);
}

static inline struct result to_gzip(const uint8_t *data, size_t size, uint32_t seed)
{
    return convert(sizeof(struct encoder), step_encoder, data, size, seed);
}

static bool holds(const struct result *result, const uint8_t *data, size_t size)
{
    return result->status == NEED_INPUT && result->size == size && (!size || memcmp(result->bytes, data, size) == 0);
}

static uint32_t seed_of(const uint8_t *data, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 16777619u;
    return hash ? hash : 1;
}

/* Whatever the data is: converting it in pieces does the same as at once, and what can be converted comes back by `back`. */
static inline void check(const uint8_t *data, size_t size, struct result there(const uint8_t *, size_t, uint32_t),
                         struct result back(const uint8_t *, size_t, uint32_t))
{
    uint32_t seed = seed_of(data, size);
    struct result whole = there(data, size, 0), pieces = there(data, size, seed);

    if (whole.status != pieces.status)
        die("pieces fail as the whole does");
    if (whole.status == NEED_INPUT) {
        if (!holds(&pieces, whole.bytes, whole.size))
            die("pieces give the same output");
        struct result again = back(whole.bytes, whole.size, 0), again_pieces = back(whole.bytes, whole.size, seed);
        if (!holds(&again, data, size) || !holds(&again_pieces, data, size))
            die("what was converted comes back");
        free(again.bytes);
        free(again_pieces.bytes);
    }
    free(whole.bytes);
    free(pieces.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
