/* The Huffman codes that symbols are written with, and bits on their way out. */
#ifndef AIRGAP_TOKENS_CODES_H
#define AIRGAP_TOKENS_CODES_H

#include "_tokens.h"

/* What to write for a literal, length or distance slot: bits << 8 | their count. NO_CODE: this block cannot write it. */
#define NO_CODE 0x80000000u

enum { DIST_SLOTS = 30 };

struct codes {
    uint32_t end, literal[256], length[256], dist[DIST_SLOTS];
};

static inline uint32_t code_entry(uint16_t next[MAX_BITS + 1], unsigned bits)
{
    return bits ? reverse_bits(next[bits]++, bits) << 8 | bits : NO_CODE;
}

static enum status make_codes(struct codes *c, const struct lengths *l)
{
    uint16_t next[MAX_BITS + 1];
    unsigned max;
    enum status status = first_codes(l->litlen, l->litlen_count, true, next, &max);

    if (status != GO_ON)
        return status;
    for (unsigned symbol = 0; symbol < END_OF_BLOCK; symbol++)
        c->literal[symbol] = code_entry(next, l->litlen[symbol]);
    c->end = code_entry(next, l->litlen[END_OF_BLOCK]);
    for (unsigned symbol = 257; symbol <= LAST_LENGTH; symbol++) {
        uint32_t entry = symbol < l->litlen_count ? code_entry(next, l->litlen[symbol]) : NO_CODE;
        unsigned extra = length_extra[symbol - 257], bits = entry & 63;
        for (uint32_t more = 0; more < 1u << extra; more++) /* 258 is reached last, by its own symbol */
            c->length[length_base[symbol - 257] + more] = entry & NO_CODE ? entry : entry + (more << bits << 8) + extra;
    }
    status = first_codes(l->dist, l->dist_count, true, next, &max);
    if (status != GO_ON)
        return status;
    for (unsigned symbol = 0; symbol < DIST_SLOTS; symbol++)
        c->dist[symbol] = symbol < l->dist_count ? code_entry(next, l->dist[symbol]) : NO_CODE;
    return GO_ON;
}

/* Bits on their way out. */
struct bit_writer {
    uint8_t *out;
    uint64_t bits;
    unsigned count;
};

static inline void write_bits(struct bit_writer *w, uint64_t bits, unsigned count)
{
    w->bits |= bits << w->count;
    w->count += count;
}

/* Write the whole bytes out, leaving at most 7 bits. Touches 8 bytes. */
static inline void write_out(struct bit_writer *w)
{
    store64(w->out, w->bits);
    w->out += w->count >> 3;
    w->bits >>= w->count & ~7u;
    w->count &= 7;
}

static inline void write_entry(struct bit_writer *w, uint32_t entry) { write_bits(w, entry >> 8, entry & 63); }

static inline void pad_to_byte(struct bit_writer *w) { w->count = (w->count + 7) & ~7u; }

static inline unsigned log2_floor(unsigned value) /* of 1..32767 */
{
#if defined(__GNUC__)
    return 31u ^ (unsigned)__builtin_clz(value);
#else
    unsigned result = 0;
    for (; value > 1; value >>= 1)
        result++;
    return result;
#endif
}

/* Write a distance, 1..32768; what was found in the table, for the check of NO_CODE. */
static inline uint32_t write_distance(const struct codes *c, struct bit_writer *w, unsigned distance)
{
    unsigned from_0 = distance - 1, slot = from_0, extra = 0;
    if (from_0 >= 4) {
        extra = log2_floor(from_0) - 1;
        slot = 2 * extra + (from_0 >> extra);
    }
    uint32_t entry = c->dist[slot];
    write_entry(w, entry);
    write_bits(w, low_bits(from_0, extra), extra);
    return entry;
}

/* Write `count` literals; the table entries or'ed, for the check of NO_CODE. */
static inline uint32_t write_literals(const struct codes *c, struct bit_writer *w, const uint8_t *in, unsigned count)
{
    uint32_t seen = 0, entry;
    for (; count >= 3; count -= 3, in += 3) {
        for (unsigned i = 0; i < 3; i++) {
            seen |= entry = c->literal[in[i]];
            write_entry(w, entry);
        }
        write_out(w);
    }
    for (unsigned i = 0; i < count; i++) {
        seen |= entry = c->literal[in[i]];
        write_entry(w, entry);
    }
    write_out(w);
    return seen;
}

#endif
