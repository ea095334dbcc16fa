/* Tokens to gzip. */
#ifndef AIRGAP_TOKENS_ENCODE_H
#define AIRGAP_TOKENS_ENCODE_H

#include "_tokens_codes.h"

enum {
    NO_MAGIC = 4,
    ROOM_FOR_GROUP = 512,  /* 255 * 15 + 48 bits, and what stores write beyond */
    ROOM_FOR_BLOCK = 1024, /* a block header */
};

enum encoder_phase { TO_MEMBER, TO_RECORD, TO_BLOCK, TO_STORED, TO_SYMBOLS, TO_TRAILER, TO_TAIL, TO_END, ENCODER_BROKEN };

struct encoder {
    enum encoder_phase phase; /* all zero is a fresh encoder */
    bool last_block;
    bool has_fixed;       /* the codes are those of fixed blocks */
    unsigned magic_seen;  /* how many bytes of the tail are as in a member, or NO_MAGIC */
    size_t raw_left;
    unsigned count;       /* bits that do not fill a byte yet, 0..7 */
    uint8_t bits;
    struct codes codes;
};

static inline struct bit_writer writer(const struct encoder *e, const struct span *s)
{
    return (struct bit_writer){s->out, e->bits, e->count};
}

static inline void writer_done(struct encoder *e, struct span *s, struct bit_writer *w)
{
    write_out(w);
    s->out = w->out;
    e->bits = (uint8_t)w->bits;
    e->count = w->count;
}

/* Write one group; how many bytes it has, 0 when it is not whole or has an error (then in `*status`). */
static inline size_t encode_group(struct encoder *e, struct bit_writer *w, const uint8_t *in, size_t left, enum status *status)
{
    unsigned run = *in;
    const uint8_t *match = in + 1 + run;

    *status = NEED_INPUT;
    if (left < run + 4u) { /* the end of a block is a byte shorter, a full group three */
        if (left < 1u + run || (run < MAX_RUN && (left < run + 3u || match[0] || match[1])))
            return 0;
    }
    uint32_t seen = write_literals(&e->codes, w, in + 1, run);
    size_t size = 1u + run;
    if (run < MAX_RUN) {
        unsigned distance = match[0] | (unsigned)match[1] << 8;
        size += 3;
        if (!distance) {
            size--;
            seen |= e->codes.end;
            write_entry(w, e->codes.end);
            e->phase = e->last_block ? TO_TRAILER : TO_BLOCK;
        } else if (distance > MAX_DISTANCE) {
            *status = FAILED_DISTANCE;
            return 0;
        } else {
            seen |= e->codes.length[match[2]];
            write_entry(w, e->codes.length[match[2]]);
            seen |= write_distance(&e->codes, w, distance);
        }
        write_out(w);
    }
    *status = seen & NO_CODE ? FAILED_NO_CODE : GO_ON;
    return seen & NO_CODE ? 0 : size;
}

static enum status encode_symbols(struct encoder *e, struct span *s)
{
    struct bit_writer w = writer(e, s);
    const uint8_t *in = s->in;
    enum status status = GO_ON;

    if (span_room(s) < ROOM_FOR_GROUP)
        return NEED_ROOM;
    while (status == GO_ON && e->phase == TO_SYMBOLS) {
        if (in == s->in_end)
            status = NEED_INPUT;
        else if ((size_t)(s->out_end - w.out) < ROOM_FOR_GROUP)
            status = NEED_ROOM;
        else
            in += encode_group(e, &w, in, (size_t)(s->in_end - in), &status);
    }
    if (e->phase == TO_TRAILER)
        pad_to_byte(&w);
    s->in = in;
    writer_done(e, s, &w);
    return status;
}

/* Read a number (LEB128) of at most three bytes at `at`; how many bytes it has, 0 with `*status` set otherwise. */
static size_t read_number(const struct span *s, size_t at, unsigned *value, enum status *status)
{
    *value = 0;
    for (size_t i = 0; i < 3; i++) {
        if (at + i >= span_left(s)) {
            *status = NEED_INPUT;
            return 0;
        }
        unsigned byte = s->in[at + i];
        *value |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *status = i && !byte ? FAILED_NUMBER : GO_ON;
            return *status == GO_ON ? i + 1 : 0;
        }
    }
    *status = FAILED_NUMBER;
    return 0;
}

static enum status encode_member(struct encoder *e, struct span *s)
{
    enum status status;
    unsigned count;
    size_t at = read_number(s, 1, &count, &status);

    if (!at)
        return status;
    if (count > MAX_GZIP_HEADER)
        return FAILED_GZIP_HEADER;
    size_t have = smaller(span_left(s) - 1 - at, count);
    size_t found = gzip_header(s->in + 1 + at, have, &status);
    if (status == NEED_INPUT && have == count)
        return FAILED_GZIP_HEADER;
    if (status != GO_ON)
        return status;
    if (found != count)
        return FAILED_GZIP_HEADER;
    if (span_room(s) < count)
        return NEED_ROOM;
    s->in += 1 + at;
    span_copy(s, count);
    e->phase = TO_BLOCK;
    return GO_ON;
}

static enum status encode_record(struct encoder *e, struct span *s)
{
    if (!span_left(s))
        return NEED_INPUT;
    uint8_t record = *s->in;
    if (record == RECORD_MEMBER)
        return encode_member(e, s);
    if (record > RECORD_TAIL || e->phase == TO_MEMBER)
        return FAILED_RECORD;
    s->in++;
    e->phase = record == RECORD_TAIL ? TO_TAIL : TO_END;
    return GO_ON;
}

/* The block type byte has been seen only; `w` gets the three bits of it when the rest is there. */
static enum status encode_stored(struct encoder *e, struct span *s, struct bit_writer *w)
{
    if (span_left(s) < 3)
        return NEED_INPUT;
    e->raw_left = s->in[1] | (size_t)s->in[2] << 8;
    write_bits(w, s->in[0], 3);
    pad_to_byte(w);
    write_bits(w, e->raw_left, 16);
    write_bits(w, e->raw_left ^ 0xffff, 16);
    s->in += 3;
    e->phase = TO_STORED;
    return GO_ON;
}

static enum status encode_dynamic(struct encoder *e, struct span *s, struct bit_writer *w)
{
    enum status status;
    unsigned bits, value;
    size_t number = read_number(s, 1, &bits, &status);
    struct lengths lengths;

    if (!number)
        return status;
    if (bits > MAX_BLOCK_HEADER)
        return FAILED_BLOCK_HEADER;
    size_t size = (bits + 7) / 8;
    if (span_left(s) < 1 + number + size)
        return NEED_INPUT;
    struct cursor start = {s->in + 1 + number, s->in + 1 + number + size, 0}, end = start;
    status = dynamic_lengths(&end, &lengths);
    if (status == NEED_INPUT || (status == GO_ON && end.bit != bits))
        return FAILED_BLOCK_HEADER;
    if (status != GO_ON)
        return status;
    if (bits % 8 && start.in[size - 1] >> bits % 8)
        return FAILED_PADDING;
    e->has_fixed = false;
    status = make_codes(&e->codes, &lengths);
    if (status != GO_ON)
        return status;
    write_bits(w, s->in[0], 3);
    for (; bits; bits -= value) {
        value = (unsigned)smaller(bits, 8);
        write_bits(w, *start.in++, value);
        write_out(w);
    }
    s->in += 1 + number + size;
    e->phase = TO_SYMBOLS;
    return GO_ON;
}

static enum status encode_block(struct encoder *e, struct span *s)
{
    struct bit_writer w = writer(e, s);
    struct lengths lengths;
    enum status status = GO_ON;

    if (!span_left(s))
        return NEED_INPUT;
    if (*s->in > (BLOCK_DYNAMIC << 1 | 1))
        return FAILED_BLOCK_TYPE;
    if (span_room(s) < ROOM_FOR_BLOCK)
        return NEED_ROOM;
    e->last_block = *s->in & 1;
    if (*s->in >> 1 == BLOCK_STORED) {
        status = encode_stored(e, s, &w);
    } else if (*s->in >> 1 == BLOCK_DYNAMIC) {
        status = encode_dynamic(e, s, &w);
    } else {
        if (!e->has_fixed) {
            fixed_lengths(&lengths);
            status = make_codes(&e->codes, &lengths);
            e->has_fixed = true;
        }
        write_bits(&w, *s->in++, 3);
        e->phase = TO_SYMBOLS;
    }
    if (status == GO_ON)
        writer_done(e, s, &w);
    return status;
}

static enum status encode_stored_bytes(struct encoder *e, struct span *s)
{
    enum status status = span_copy_raw(s, &e->raw_left);
    if (status == GO_ON)
        e->phase = e->last_block ? TO_TRAILER : TO_BLOCK;
    return status;
}

static enum status encode_trailer(struct encoder *e, struct span *s)
{
    if (span_left(s) < 8)
        return NEED_INPUT;
    if (span_room(s) < 8)
        return NEED_ROOM;
    span_copy(s, 8);
    e->phase = TO_RECORD;
    return GO_ON;
}

/* The raw rest; it must be what the decoder gives as such: not empty, and not the beginning of another member. */
static enum status encode_tail(struct encoder *e, struct span *s)
{
    static const uint8_t magic[3] = {0x1f, 0x8b, 8};
    size_t all = SIZE_MAX;

    while (e->magic_seen < 3 && span_left(s) && span_room(s)) {
        e->magic_seen = *s->in == magic[e->magic_seen] ? e->magic_seen + 1 : NO_MAGIC;
        if (e->magic_seen == 3)
            return FAILED_TAIL;
        span_copy(s, 1);
    }
    if (span_copy_raw(s, &all) == NEED_ROOM)
        return NEED_ROOM;
    if (!s->final)
        return NEED_INPUT;
    if (!e->magic_seen)
        return FAILED_TAIL;
    e->phase = TO_END;
    return GO_ON;
}

static enum status (*const encoder_parts[TO_END])(struct encoder *, struct span *) = {
    [TO_MEMBER] = encode_record, [TO_RECORD] = encode_record, [TO_BLOCK] = encode_block, [TO_STORED] = encode_stored_bytes,
    [TO_SYMBOLS] = encode_symbols, [TO_TRAILER] = encode_trailer, [TO_TAIL] = encode_tail,
};

/* As decode_step; NEED_ROOM asks for ROOM_FOR_BLOCK bytes, or for MAX_GZIP_HEADER in front of a member. */
DEFINE_STEP(encode_step, encoder, encoder_parts, TO_END, ENCODER_BROKEN)

#endif
