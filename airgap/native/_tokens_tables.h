/* The tables that Huffman codes are decoded with. */
#ifndef AIRGAP_TOKENS_TABLES_H
#define AIRGAP_TOKENS_TABLES_H

#include "_tokens.h"

/* A table entry: value << 16 | kind | bits of the code << 8 | bits of the code and its extra bits.
 * The value is a literal, a length - 3 or distance without its extra bits, or the index of a subtable. */
enum {
    KIND_LITERAL = 0x1000,
    KIND_END = 0x2000,
    KIND_SUBTABLE = 0x4000,
    KIND_INVALID = 0x8000,
    KIND_SPECIAL = KIND_END | KIND_SUBTABLE | KIND_INVALID,
    LITLEN_ROOT = 11,
    DIST_ROOT = 9,
    /* All subtables of a table have as many bits as its longest code needs. In a complete code at least two codes share one. */
    LITLEN_TABLE = (1 << LITLEN_ROOT) + (LITLEN_CODES / 2 << (MAX_BITS - LITLEN_ROOT)),
    DIST_TABLE = (1 << DIST_ROOT) + (DIST_CODES / 2 << (MAX_BITS - DIST_ROOT)),
};

struct tables {
    unsigned litlen_mask, dist_mask; /* for the index into a subtable */
    uint32_t litlen[LITLEN_TABLE], dist[DIST_TABLE];
};

static inline uint32_t litlen_entry(unsigned symbol, unsigned bits)
{
    if (symbol < END_OF_BLOCK)
        return symbol << 16 | KIND_LITERAL | bits << 8 | bits;
    if (symbol == END_OF_BLOCK)
        return KIND_END | bits << 8 | bits;
    if (symbol > LAST_LENGTH)
        return KIND_INVALID | bits << 8 | bits;
    return (uint32_t)length_base[symbol - 257] << 16 | bits << 8 | (bits + length_extra[symbol - 257]);
}

static inline uint32_t dist_entry(unsigned symbol, unsigned bits)
{
    if (symbol > 29)
        return KIND_INVALID | bits << 8 | bits;
    return dist_base(symbol) << 16 | bits << 8 | (bits + dist_extra(symbol));
}

/* Make a decoding table of 1 << root entries and, behind them, the subtables. */
static enum status make_table(uint32_t *table, unsigned root, const uint8_t *lengths, unsigned count, bool distances, unsigned *mask)
{
    uint16_t next[MAX_BITS + 1];
    unsigned max, end = 1u << root;
    enum status status = first_codes(lengths, count, true, next, &max);

    if (status != GO_ON)
        return status;
    if (max <= 1) /* one code or none: the other bit stands for nothing */
        for (unsigned i = 0; i < end; i++)
            table[i] = KIND_INVALID | 1 << 8 | 1;
    else if (max > root)
        memset(table, 0, sizeof *table << root);
    unsigned sub_bits = max > root ? max - root : 0;
    *mask = (1u << sub_bits) - 1;
    for (unsigned symbol = 0; symbol < count; symbol++) {
        unsigned bits = lengths[symbol], at, step, stop;
        if (!bits)
            continue;
        uint32_t entry = distances ? dist_entry(symbol, bits) : litlen_entry(symbol, bits);
        unsigned code = reverse_bits(next[bits]++, bits);
        if (bits <= root) {
            at = code;
            step = 1u << bits;
            stop = 1u << root;
        } else {
            uint32_t *link = &table[code & ((1u << root) - 1)];
            if (!*link) {
                *link = end << 16 | KIND_SUBTABLE;
                end += 1u << sub_bits;
            }
            at = (*link >> 16) + (code >> root);
            step = 1u << (bits - root);
            stop = (*link >> 16) + (1u << sub_bits);
        }
        for (; at < stop; at += step)
            table[at] = entry;
    }
    return GO_ON;
}

static enum status make_tables(struct tables *t, const struct lengths *l)
{
    enum status status = make_table(t->litlen, LITLEN_ROOT, l->litlen, l->litlen_count, false, &t->litlen_mask);
    return status != GO_ON ? status : make_table(t->dist, DIST_ROOT, l->dist, l->dist_count, true, &t->dist_mask);
}

static inline uint32_t litlen_lookup(const struct tables *t, uint64_t bits)
{
    uint32_t entry = t->litlen[low_bits(bits, LITLEN_ROOT)];
    return entry & KIND_SUBTABLE ? t->litlen[(entry >> 16) + (bits >> LITLEN_ROOT & t->litlen_mask)] : entry;
}

static inline uint32_t dist_lookup(const struct tables *t, uint64_t bits)
{
    uint32_t entry = t->dist[low_bits(bits, DIST_ROOT)];
    return entry & KIND_SUBTABLE ? t->dist[(entry >> 16) + (bits >> DIST_ROOT & t->dist_mask)] : entry;
}

static inline unsigned entry_code(uint32_t entry) { return entry >> 8 & 15; }
static inline unsigned entry_total(uint32_t entry) { return entry & 63; }

/* The base of a length or distance and its extra bits, from the bits that its code begins. */
static inline unsigned entry_value(uint32_t entry, uint64_t bits)
{
    return (entry >> 16) + (unsigned)(low_bits(bits, entry_total(entry)) >> entry_code(entry));
}

#endif
