/* gzip to tokens. */
#ifndef AIRGAP_TOKENS_DECODE_H
#define AIRGAP_TOKENS_DECODE_H

#include "_tokens_tables.h"

enum {
    MOST_AT_ONCE = 512, /* bytes of room for any element but a gzip header; a block header needs 290 */
};

enum decoder_phase { AT_MEMBER, AT_BLOCK, IN_STORED, IN_SYMBOLS, AT_TRAILER, AT_NEXT, IN_REST, AT_END, BROKEN };

struct decoder {
    enum decoder_phase phase; /* all zero is a fresh decoder */
    unsigned bit;             /* bits of the first unconsumed byte that are used already */
    bool last_block;
    bool has_fixed; /* the tables are those of fixed blocks */
    size_t raw_left;
    unsigned run; /* literals whose group is not finished */
    uint8_t literals[MAX_RUN];
    struct tables tables;
};

static inline void skip_bits(struct decoder *d, struct span *s, size_t count)
{
    s->in += (d->bit + count) / 8;
    d->bit = (unsigned)((d->bit + count) % 8);
}

/* The group being written: its count byte is at `run`, its literals follow up to `out`. Finishes it when it is full. */
static inline void split_run(uint8_t **run, uint8_t **out)
{
    size_t count = (size_t)(*out - *run) - 1;
    if (count >= MAX_RUN) {
        uint8_t *next = *run + 1 + MAX_RUN;
        **run = MAX_RUN;
        memmove(next + 1, next, count - MAX_RUN);
        *run = next;
        ++*out;
    }
}

/* Decode symbols while there is ample input and room; stops in front of anything unusual. Takes at most three literals more than a full group. */
static void fast_symbols(struct decoder *d, struct span *s, uint8_t **group)
{
    const uint8_t *in = s->in;
    uint8_t *out = s->out, *run = *group;
    if (span_left(s) < 17 || span_room(s) < 32)
        return;
    const uint8_t *in_stop = s->in_end - 16;
    uint8_t *out_stop = s->out_end - 16;
    uint64_t bits = (uint64_t)*in++ >> d->bit;
    unsigned have = 8 - d->bit;

#define REFILL() (bits |= load64(in) << have, in += (63 - have) >> 3, have |= 56)
#define TAKE(count) (bits >>= (count), have -= (count))
    while (in <= in_stop && out < out_stop) {
        REFILL();
        uint32_t entry = d->tables.litlen[low_bits(bits, LITLEN_ROOT)];
        if (entry & KIND_LITERAL) {
            TAKE(entry_total(entry));
            *out++ = (uint8_t)(entry >> 16);
            entry = d->tables.litlen[low_bits(bits, LITLEN_ROOT)];
            if (entry & KIND_LITERAL) {
                TAKE(entry_total(entry));
                *out++ = (uint8_t)(entry >> 16);
                entry = d->tables.litlen[low_bits(bits, LITLEN_ROOT)];
            }
        }
        if (entry & KIND_SUBTABLE)
            entry = d->tables.litlen[(entry >> 16) + (bits >> LITLEN_ROOT & d->tables.litlen_mask)];
        if (entry & KIND_LITERAL) {
            TAKE(entry_total(entry));
            *out++ = (uint8_t)(entry >> 16);
            split_run(&run, &out);
            continue;
        }
        if (entry & KIND_SPECIAL)
            break;
        /* At most 22 bits are used: 34 are left, and a length takes 20. */
        const uint8_t *in_before = in;
        unsigned have_before = have;
        unsigned length = entry_value(entry, bits);
        TAKE(entry_total(entry));
        REFILL();
        uint32_t dist = dist_lookup(&d->tables, bits);
        if (dist & KIND_INVALID || (length == 255 && entry >> 16 != 255)) {
            in = in_before;
            have = have_before;
            break;
        }
        split_run(&run, &out);
        unsigned distance = entry_value(dist, bits);
        TAKE(entry_total(dist));
        *run = (uint8_t)(out - run - 1);
        out[0] = (uint8_t)distance;
        out[1] = (uint8_t)(distance >> 8);
        out[2] = (uint8_t)length;
        run = out + 3;
        out = run + 1;
    }
#undef REFILL
#undef TAKE
    split_run(&run, &out);
    s->in = in - (have + 7) / 8;
    d->bit = (8 - have % 8) % 8;
    s->out = out;
    *group = run;
}

static void end_block(struct decoder *d)
{
    d->phase = d->last_block ? AT_TRAILER : AT_BLOCK;
}

static inline void put_match(struct span *s, uint8_t **run, unsigned distance)
{
    **run = (uint8_t)(s->out - *run - 1);
    *s->out++ = (uint8_t)distance;
    *s->out++ = (uint8_t)(distance >> 8);
}

/* Decode one symbol, with its distance if it has one, and check everything. */
static enum status one_symbol(struct decoder *d, struct span *s, uint8_t **run)
{
    unsigned have;
    uint64_t bits = peek_bits(s->in, s->in_end, d->bit, &have);
    uint32_t entry = litlen_lookup(&d->tables, bits), dist;
    unsigned used = entry_total(entry);

    if (have < entry_code(entry))
        return NEED_INPUT;
    if (entry & KIND_INVALID)
        return FAILED_SYMBOL;
    if (entry & KIND_LITERAL) {
        *s->out++ = (uint8_t)(entry >> 16);
        split_run(run, &s->out);
    } else if (entry & KIND_END) {
        put_match(s, run, 0);
        end_block(d);
    } else {
        if (have < used)
            return NEED_INPUT;
        unsigned length = entry_value(entry, bits);
        if (length == 255 && entry >> 16 != 255)
            return FAILED_LONG_258;
        dist = dist_lookup(&d->tables, bits >> used);
        if (have < used + entry_code(dist))
            return NEED_INPUT;
        if (dist & KIND_INVALID)
            return FAILED_SYMBOL;
        if (have < used + entry_total(dist))
            return NEED_INPUT;
        put_match(s, run, entry_value(dist, bits >> used));
        *s->out++ = (uint8_t)length;
        *run = s->out++;
        used += entry_total(dist);
    }
    skip_bits(d, s, used);
    return GO_ON;
}

static enum status decode_symbols(struct decoder *d, struct span *s)
{
    uint8_t *run = s->out;
    enum status status = GO_ON;

    if (span_room(s) < MOST_AT_ONCE)
        return NEED_ROOM;
    memcpy(run + 1, d->literals, d->run);
    s->out = run + 1 + d->run;
    do {
        fast_symbols(d, s, &run);
        status = span_room(s) < 16 ? NEED_ROOM : one_symbol(d, s, &run);
    } while (status == GO_ON && d->phase == IN_SYMBOLS);
    d->run = 0;
    if (d->phase == IN_SYMBOLS) { /* the group is not finished: keep it for the next step */
        d->run = (unsigned)(s->out - run - 1);
        memcpy(d->literals, run + 1, d->run);
        s->out = run;
    }
    return status;
}

/* Write `count` bits from `cursor` on, filled up with zeros to whole bytes. */
static void put_header_bits(struct span *s, struct cursor cursor, size_t count)
{
    while (count) {
        unsigned value, part = (unsigned)smaller(count, 8);
        cursor_bits(&cursor, part, &value);
        *s->out++ = (uint8_t)value;
        count -= part;
    }
}

static enum status decode_dynamic(struct decoder *d, struct span *s)
{
    struct cursor start = {s->in, s->in_end, d->bit + 3}, end = start;
    struct lengths lengths;
    enum status status = dynamic_lengths(&end, &lengths);

    if (status != GO_ON)
        return status;
    d->has_fixed = false;
    status = make_tables(&d->tables, &lengths);
    if (status != GO_ON)
        return status;
    size_t count = end.bit - start.bit;
    if (count > 127)
        *s->out++ = (uint8_t)(count | 0x80);
    *s->out++ = (uint8_t)(count > 127 ? count >> 7 : count);
    put_header_bits(s, start, count);
    skip_bits(d, s, 3 + count);
    d->phase = IN_SYMBOLS;
    return GO_ON;
}

static enum status decode_stored(struct decoder *d, struct span *s, uint64_t bits, unsigned have)
{
    unsigned padding = (8 - (d->bit + 3) % 8) % 8;

    if (have < 3 + padding)
        return NEED_INPUT;
    if (low_bits(bits >> 3, padding))
        return FAILED_PADDING;
    if (have < 3 + padding + 32)
        return NEED_INPUT;
    bits >>= 3 + padding;
    d->raw_left = bits & 0xffff;
    if ((bits >> 16 & 0xffff) != (d->raw_left ^ 0xffff))
        return FAILED_STORED;
    *s->out++ = (uint8_t)d->raw_left;
    *s->out++ = (uint8_t)(d->raw_left >> 8);
    skip_bits(d, s, 3 + padding + 32);
    d->phase = IN_STORED;
    return GO_ON;
}

static enum status decode_block(struct decoder *d, struct span *s)
{
    unsigned have;
    uint64_t bits = peek_bits(s->in, s->in_end, d->bit, &have);
    uint8_t *before = s->out;
    enum status status;

    if (have < 3)
        return NEED_INPUT;
    if (span_room(s) < MOST_AT_ONCE)
        return NEED_ROOM;
    d->last_block = bits & 1;
    *s->out++ = bits & 7;
    switch (bits >> 1 & 3) {
    case BLOCK_STORED:
        status = decode_stored(d, s, bits, have);
        break;
    case BLOCK_FIXED:
        status = GO_ON;
        if (!d->has_fixed) {
            struct lengths lengths;
            fixed_lengths(&lengths);
            status = make_tables(&d->tables, &lengths);
            d->has_fixed = true;
        }
        skip_bits(d, s, 3);
        d->phase = IN_SYMBOLS;
        break;
    case BLOCK_DYNAMIC:
        status = decode_dynamic(d, s);
        break;
    default:
        status = FAILED_BLOCK_TYPE;
    }
    if (status != GO_ON)
        s->out = before;
    return status;
}

static enum status decode_member(struct decoder *d, struct span *s)
{
    enum status status;
    size_t count = gzip_header(s->in, span_left(s), &status);

    if (status != GO_ON)
        return status;
    if (span_room(s) < count + 4)
        return NEED_ROOM;
    *s->out++ = RECORD_MEMBER;
    for (size_t left = count; left || !count; left >>= 7)
        *s->out++ = (uint8_t)(left > 127 ? left | 0x80 : left);
    span_copy(s, count);
    d->phase = AT_BLOCK;
    return GO_ON;
}

static enum status decode_trailer(struct decoder *d, struct span *s)
{
    unsigned have;
    uint64_t bits = peek_bits(s->in, s->in_end, d->bit, &have);
    unsigned padding = (8 - d->bit) % 8;

    if (have < padding)
        return NEED_INPUT;
    if (low_bits(bits, padding))
        return FAILED_PADDING;
    skip_bits(d, s, padding);
    if (span_left(s) < 8)
        return NEED_INPUT;
    if (span_room(s) < 8)
        return NEED_ROOM;
    span_copy(s, 8);
    d->phase = AT_NEXT;
    return GO_ON;
}

/* What follows a member: another one, nothing, or something else. */
static enum status decode_next(struct decoder *d, struct span *s)
{
    static const uint8_t magic[3] = {0x1f, 0x8b, 8};
    size_t left = span_left(s);
    bool alike = memcmp(s->in, magic, smaller(left, 3)) == 0;

    if (alike && left >= 3) {
        d->phase = AT_MEMBER;
        return GO_ON;
    }
    if (alike && !s->final)
        return NEED_INPUT;
    if (!span_room(s))
        return NEED_ROOM;
    *s->out++ = left ? RECORD_TAIL : RECORD_END;
    d->phase = left ? IN_REST : AT_END;
    return GO_ON;
}

static enum status decode_rest(struct decoder *d, struct span *s)
{
    size_t all = SIZE_MAX;
    if (span_copy_raw(s, &all) == NEED_ROOM)
        return NEED_ROOM;
    if (!s->final)
        return NEED_INPUT;
    d->phase = AT_END;
    return GO_ON;
}

static enum status decode_stored_bytes(struct decoder *d, struct span *s)
{
    enum status status = span_copy_raw(s, &d->raw_left);
    if (status == GO_ON)
        end_block(d);
    return status;
}

static enum status (*const decoder_parts[AT_END])(struct decoder *, struct span *) = {
    [AT_MEMBER] = decode_member, [AT_BLOCK] = decode_block, [IN_STORED] = decode_stored_bytes, [IN_SYMBOLS] = decode_symbols,
    [AT_TRAILER] = decode_trailer, [AT_NEXT] = decode_next, [IN_REST] = decode_rest,
};

/* Consume what there is. NEED_INPUT: all is well, `s->in` is what the next step must begin with, or the end when `s->final`.
 * NEED_ROOM: call again with more room (MOST_AT_ONCE bytes, MAX_GZIP_HEADER + 4 for a gzip header). Else an error. */
DEFINE_STEP(decode_step, decoder, decoder_parts, AT_END, BROKEN)

#endif
