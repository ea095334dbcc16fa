/* DEFLATE streams and tokens, version 1: what both directions share. No Python in here, so that fuzzers can include it.
 *
 * The token format is stated in airgap/patch/pydeflate.py (and in docs/format.md); the format of gzip and DEFLATE in RFC 1952
 * and RFC 1951. What zlib's inflate refuses is refused here.
 *
 * Both directions are step functions: they take what input there is, consume whole elements only and keep a small fixed state.
 * The caller presents what was not consumed again, in front of more. All input is hostile.
 */
#ifndef AIRGAP_TOKENS_H
#define AIRGAP_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    MAX_GZIP_HEADER = 128 * 1024, /* bytes */
    MAX_BLOCK_HEADER = 4096,      /* bits; 14 + 19 * 3 + 316 * 7 = 2283 are possible */
    MAX_BITS = 15,                /* of a Huffman code */
    END_OF_BLOCK = 256,
    LITLEN_CODES = 288,
    DIST_CODES = 32,
    LAST_LENGTH = 285,            /* the symbol of length 258; longer ones do not exist */
    MAX_RUN = 255,                /* a group of that many literals has no match */
    MAX_DISTANCE = 32768,
};

enum record { RECORD_END = 0, RECORD_MEMBER = 1, RECORD_TAIL = 2 };
enum block { BLOCK_STORED = 0, BLOCK_FIXED = 1, BLOCK_DYNAMIC = 2 };

/* How a step ended; everything from FAILED_TRUNCATED on is an error and named in status_text. */
enum status {
    GO_ON,
    NEED_INPUT,
    NEED_ROOM,
    FAILED_TRUNCATED,
    FAILED_BEFORE,
    FAILED_NOT_GZIP,
    FAILED_GZIP_FLAGS,
    FAILED_GZIP_HEADER,
    FAILED_PADDING,
    FAILED_STORED,
    FAILED_BLOCK_TYPE,
    FAILED_COUNTS,
    FAILED_CODE,
    FAILED_REPEAT,
    FAILED_NO_END,
    FAILED_SYMBOL,
    FAILED_LONG_258,
    FAILED_RECORD,
    FAILED_NUMBER,
    FAILED_BLOCK_HEADER,
    FAILED_DISTANCE,
    FAILED_NO_CODE,
    FAILED_TAIL,
    FAILED_AFTER_END,
};

static const char *const status_text[] = {
    "", "", "",
    "the input ends too early",
    "used again after an error",
    "not gzip",
    "a gzip header with reserved flags",
    "a gzip header of wrong length",
    "padding bits that are not zero",
    "a stored block whose length and complement differ",
    "a block of unknown type",
    "too many length or distance codes",
    "a Huffman code that is over-subscribed or incomplete",
    "code lengths that repeat nothing or too much",
    "a block without a code for its end",
    "a symbol that does not exist",
    "length 258 written as 227 + 31",
    "an unknown record",
    "a number that is too long",
    "a block header of wrong length",
    "a distance above 32768",
    "a literal, length or distance that has no code in its block",
    "a tail that is empty or begins like a member",
    "bytes after the end",
};

/* What a step reads and where it writes; `in` and `out` move. */
struct span {
    const uint8_t *in, *in_end;
    uint8_t *out, *out_end;
    bool final; /* nothing comes after in_end */
};

static inline size_t span_left(const struct span *s) { return (size_t)(s->in_end - s->in); }
static inline size_t span_room(const struct span *s) { return (size_t)(s->out_end - s->out); }
static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static inline void span_copy(struct span *s, size_t count)
{
    if (count) {
        memcpy(s->out, s->in, count);
        s->in += count;
        s->out += count;
    }
}

/* Copy as much of `*left` raw bytes as there is input and room for. */
static inline enum status span_copy_raw(struct span *s, size_t *left)
{
    size_t count = smaller(*left, smaller(span_left(s), span_room(s)));
    span_copy(s, count);
    *left -= count;
    if (!*left)
        return GO_ON;
    return span_left(s) ? NEED_ROOM : NEED_INPUT;
}

/* Define a step of a coder: do one part after the other, each by its phase, until input or room is missing or something is wrong.
 * The last two phases are the end and what comes after an error; `parts` has those before. */
#define DEFINE_STEP(name, coder, parts, at_end, broken)                \
    static enum status name(struct coder *c, struct span *s)           \
    {                                                                  \
        enum status status;                                            \
        do {                                                           \
            if (c->phase < at_end)                                     \
                status = parts[c->phase](c, s);                        \
            else if (c->phase == at_end)                               \
                status = span_left(s) ? FAILED_AFTER_END : NEED_INPUT; \
            else                                                       \
                status = FAILED_BEFORE;                                \
        } while (status == GO_ON);                                     \
        if (status == NEED_INPUT && s->final && c->phase != at_end)    \
            status = FAILED_TRUNCATED;                                 \
        if (status >= FAILED_TRUNCATED)                                \
            c->phase = broken;                                         \
        return status;                                                 \
    }

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline void store64(uint8_t *p, uint64_t value)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(p, &value, 8);
}

static inline uint64_t low_bits(uint64_t value, unsigned count) { return value & (((uint64_t)1 << count) - 1); }

/* The next bits of a byte string, `bit` (0..7) bits into it: at least 57 of them, or all there are; zeros follow. */
static inline uint64_t peek_bits(const uint8_t *in, const uint8_t *end, unsigned bit, unsigned *have)
{
    size_t left = (size_t)(end - in);
    uint64_t value = 0;
    if (left >= 8) {
        *have = 64 - bit;
        return load64(in) >> bit;
    }
    for (size_t i = 0; i < left; i++)
        value |= (uint64_t)in[i] << (8 * i);
    *have = 8 * left > bit ? 8 * (unsigned)left - bit : 0;
    return value >> bit;
}

/* The length of the gzip header at `p`; 0 when it is not whole yet. Sets `*status` to an error where it is not one. */
static size_t gzip_header(const uint8_t *p, size_t size, enum status *status)
{
    static const uint8_t magic[3] = {0x1f, 0x8b, 8};
    size_t n = smaller(size, MAX_GZIP_HEADER), at = 10;
    enum status missing = n < MAX_GZIP_HEADER ? NEED_INPUT : FAILED_GZIP_HEADER;

    if (n && memcmp(p, magic, smaller(n, 3)) != 0) {
        *status = FAILED_NOT_GZIP;
        return 0;
    }
    if (n > 3 && p[3] & 0xe0) {
        *status = FAILED_GZIP_FLAGS;
        return 0;
    }
    *status = missing;
    if (n < at)
        return 0;
    if (p[3] & 4) { /* FEXTRA */
        if (n < at + 2)
            return 0;
        at += 2 + (size_t)(p[at] | p[at + 1] << 8);
    }
    for (unsigned flag = 8; flag <= 16; flag *= 2) { /* FNAME, FCOMMENT: up to a zero byte */
        if (!(p[3] & flag))
            continue;
        const uint8_t *end = at < n ? memchr(p + at, 0, n - at) : NULL;
        if (!end)
            return 0;
        at = (size_t)(end - p) + 1;
    }
    if (p[3] & 2) /* FHCRC */
        at += 2;
    if (at > n)
        return 0;
    *status = GO_ON;
    return at;
}

static const uint16_t length_base[29] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 255};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

static inline unsigned dist_extra(unsigned symbol) { return symbol < 4 ? 0 : symbol / 2 - 1; }
static inline unsigned dist_base(unsigned symbol) { return symbol < 4 ? symbol + 1 : ((2 + symbol % 2) << dist_extra(symbol)) + 1; }

static inline unsigned reverse_bits(unsigned code, unsigned count)
{
    unsigned result = 0;
    for (; count; count--, code >>= 1)
        result = result << 1 | (code & 1);
    return result;
}

/* The first code of each length (RFC 1951 3.2.2) into `next`; the greatest length, 0 for no codes at all.
 * A code must be complete; a single code of one bit is let pass where `lone` says so, and so is none at all. */
static enum status first_codes(const uint8_t *lengths, unsigned count, bool lone, uint16_t next[MAX_BITS + 1], unsigned *max)
{
    uint16_t counts[MAX_BITS + 1] = {0};
    int left = 1;
    unsigned code = 0;

    for (unsigned i = 0; i < count; i++)
        counts[lengths[i]]++;
    counts[0] = 0;
    *max = 0;
    next[0] = 0;
    for (unsigned bits = 1; bits <= MAX_BITS; bits++) {
        code = (code + counts[bits - 1]) << 1;
        next[bits] = (uint16_t)code;
        left = 2 * left - counts[bits];
        if (left < 0)
            return FAILED_CODE;
        if (counts[bits])
            *max = bits;
    }
    return left > 0 && !(lone && *max <= 1) ? FAILED_CODE : GO_ON;
}

/* The code lengths of one block. */
struct lengths {
    unsigned litlen_count, dist_count;
    uint8_t litlen[LITLEN_CODES], dist[DIST_CODES];
};

static void fixed_lengths(struct lengths *l)
{
    l->litlen_count = LITLEN_CODES;
    l->dist_count = DIST_CODES;
    memset(l->litlen, 8, 144);
    memset(l->litlen + 144, 9, 112);
    memset(l->litlen + 256, 7, 24);
    memset(l->litlen + 280, 8, 8);
    memset(l->dist, 5, DIST_CODES);
}

/* A place in a byte string, in bits. */
struct cursor {
    const uint8_t *in, *end;
    size_t bit; /* from `in` */
};

/* Take the next `count` (at most 16) bits. Where they are not all there: false, nothing taken, zeros in place of those missing. */
static inline bool cursor_bits(struct cursor *c, unsigned count, unsigned *value)
{
    unsigned have = 0;
    uint64_t bits = 0;
    if (c->bit / 8 < (size_t)(c->end - c->in))
        bits = peek_bits(c->in + c->bit / 8, c->end, c->bit % 8, &have);
    *value = (unsigned)low_bits(bits, count);
    if (have < count)
        return false;
    c->bit += count;
    return true;
}

/* Read HLIT, HDIST, HCLEN and the code of the code lengths (RFC 1951 3.2.7) as a table of 7 bits: symbol << 4 | length. */
static enum status code_length_code(struct cursor *c, struct lengths *l, uint16_t table[128])
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned counts, max, bits, code;
    uint8_t lengths[19] = {0};
    uint16_t next[MAX_BITS + 1];

    if (!cursor_bits(c, 14, &counts))
        return NEED_INPUT;
    l->litlen_count = (counts & 31) + 257;
    l->dist_count = (counts >> 5 & 31) + 1;
    if (l->litlen_count > LAST_LENGTH + 1 || l->dist_count > 30)
        return FAILED_COUNTS;
    for (unsigned i = 0; i < (counts >> 10) + 4; i++) {
        if (!cursor_bits(c, 3, &bits))
            return NEED_INPUT;
        lengths[order[i]] = (uint8_t)bits;
    }
    enum status status = first_codes(lengths, 19, false, next, &max);
    if (status != GO_ON)
        return status;
    for (unsigned symbol = 0; symbol < 19; symbol++) {
        if (!(bits = lengths[symbol]))
            continue;
        code = reverse_bits(next[bits]++, bits);
        for (; code < 128; code += 1u << bits)
            table[code] = (uint16_t)(symbol << 4 | bits);
    }
    return GO_ON;
}

/* Read the header of a dynamic block from HLIT on. The cursor ends behind it. */
static enum status dynamic_lengths(struct cursor *c, struct lengths *l)
{
    static const uint8_t repeat_bits[3] = {2, 3, 7}, repeat_base[3] = {3, 3, 11};
    uint8_t all[LITLEN_CODES + DIST_CODES];
    uint16_t table[128];
    unsigned done = 0, bits, value;
    enum status status = code_length_code(c, l, table);

    if (status != GO_ON)
        return status;
    while (done < l->litlen_count + l->dist_count) {
        size_t before = c->bit;
        bool whole = cursor_bits(c, 7, &bits);
        unsigned symbol = table[bits] >> 4, used = table[bits] & 15;
        if (!whole && before + used > 8 * (size_t)(c->end - c->in))
            return NEED_INPUT;
        c->bit = before + used;
        if (symbol < 16) {
            all[done++] = (uint8_t)symbol;
            continue;
        }
        if (!cursor_bits(c, repeat_bits[symbol - 16], &value))
            return NEED_INPUT;
        value += repeat_base[symbol - 16];
        if ((symbol == 16 && !done) || done + value > l->litlen_count + l->dist_count)
            return FAILED_REPEAT;
        memset(all + done, symbol == 16 ? all[done - 1] : 0, value);
        done += value;
    }
    memcpy(l->litlen, all, l->litlen_count);
    memcpy(l->dist, all + l->litlen_count, l->dist_count);
    return l->litlen[END_OF_BLOCK] ? GO_ON : FAILED_NO_END;
}

#endif
