/* The columns of a token stream (docs/format.md, "Columns"): the same bytes, sorted by what they mean. No Python in here, so that
 * fuzzers can include it.
 *
 * Bytes of one kind compress better among themselves. Every byte of a token stream belongs to one column, and which one follows
 * from the bytes before it, so the columns can be taken apart and put together without a word about how. airgap/patch/pycolumns.py
 * is the same thing in Python. The input is not trusted: any bytes can be taken apart, and columns that do not fit are refused. */
#ifndef AIRGAP_COLUMNS_H
#define AIRGAP_COLUMNS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LITERALS, RUNS, DISTANCES, LENGTHS, FRAMING, COLUMNS };
enum { RECORD, HEADER_SIZE, HEADER, BLOCK, STORED_SIZE, STORED, CODES_SIZE, CODES, RUN, TEXT, DISTANCE, LENGTH, TRAILER, TAIL };

static const uint8_t column_of[] = {FRAMING, FRAMING, FRAMING, FRAMING, FRAMING, LITERALS, FRAMING,
                                    FRAMING, RUNS,    LITERALS, DISTANCES, LENGTHS, FRAMING, LITERALS};

typedef struct {
    uint32_t state;
    uint32_t left;  /* bytes that this state still takes, where it takes a known number */
    uint32_t value; /* of a number that is being read, and how many of its bits are there */
    uint32_t bits;
    uint32_t final; /* this is the last block of its member */
    uint32_t open;  /* no match follows this run of literals */
} Machine;

/* Taking apart: `flat` is read, and every column has room for `size` bytes. Putting together: `flat` has room for `size`, which is
 * the sum of all `there`, and the columns are read. */
typedef struct {
    uint8_t *flat;
    size_t size, at;
    uint8_t *column[COLUMNS];
    size_t there[COLUMNS], used[COLUMNS]; /* bytes of each column: how many there are (when putting together), and how many are done */
} Work;

static void after_block(Machine *m) {
    m->state = m->final ? TRAILER : BLOCK;
    m->left = 8;
}

/* What follows once the last byte of a state, or of a whole counted stretch, was taken. */
static void next_state(Machine *m, uint8_t byte) {
    switch (m->state) {
    case RECORD:
        m->state = byte == 1 ? HEADER_SIZE : TAIL;
        m->value = m->bits = 0;
        break;
    case HEADER_SIZE:
    case CODES_SIZE:
        m->value |= (uint32_t)(byte & 127) << m->bits;
        m->bits += 7;
        if (byte & 128) {
            if (m->bits > 21) m->state = TAIL;
            break;
        }
        m->left = m->state == HEADER_SIZE ? m->value : (m->value + 7) / 8;
        m->state += 1;
        if (m->left == 0) m->state += 1;
        break;
    case HEADER:
        m->state = BLOCK;
        break;
    case BLOCK:
        m->final = byte & 1;
        m->state = byte >> 1 == 0 ? STORED_SIZE : byte >> 1 == 1 ? RUN : byte >> 1 == 2 ? CODES_SIZE : TAIL;
        m->value = m->bits = 0;
        break;
    case STORED_SIZE:
        m->value |= (uint32_t)byte << m->bits;
        m->bits += 8;
        if (m->bits == 16) {
            m->state = STORED;
            m->left = m->value;
            if (m->left == 0) after_block(m);
        }
        break;
    case STORED:
        after_block(m);
        break;
    case CODES:
        m->state = RUN;
        break;
    case RUN:
        m->open = byte == 255;
        m->left = byte;
        m->state = byte ? TEXT : DISTANCE;
        m->value = m->bits = 0;
        break;
    case TEXT:
        m->state = m->open ? RUN : DISTANCE;
        m->value = m->bits = 0;
        break;
    case DISTANCE:
        m->value |= (uint32_t)byte << m->bits;
        m->bits += 8;
        if (m->bits == 16) {
            m->state = LENGTH;
            if (m->value == 0) after_block(m);
        }
        break;
    case LENGTH:
        m->state = RUN;
        break;
    case TRAILER:
        m->state = RECORD;
        break;
    }
}

static int is_counted(uint32_t state) {
    return state == HEADER || state == STORED || state == CODES || state == TEXT || state == TRAILER || state == TAIL;
}

/* Moves `count` bytes between the flat stream and one column; 0 when the column does not have them. */
static inline int move(Work *w, int column, size_t count, int joining) {
    if (joining) {
        if (w->there[column] - w->used[column] < count) return 0;
        memcpy(w->flat + w->at, w->column[column] + w->used[column], count);
    } else {
        memcpy(w->column[column] + w->used[column], w->flat + w->at, count);
    }
    w->at += count;
    w->used[column] += count;
    return 1;
}

enum { MOST_OF_GROUP = 1 + 255 + 2 + 1 }; /* bytes: run, literals, distance, length */

/* Whole groups (run, literals, distance, length), which are nearly everything, while no bound can be reached. */
static inline void groups(Machine *m, Work *w, int joining) {
    while (w->size - w->at >= MOST_OF_GROUP) {
        if (joining && (w->there[LITERALS] - w->used[LITERALS] < 256 || w->used[RUNS] == w->there[RUNS] ||
                        w->there[DISTANCES] - w->used[DISTANCES] < 2 || w->used[LENGTHS] == w->there[LENGTHS]))
            return;
        uint8_t run = joining ? w->column[RUNS][w->used[RUNS]] : w->flat[w->at];
        move(w, RUNS, 1, joining);
        if (run <= 16) {
            /* one copy of a fixed size, of which `run` bytes count: both sides have that many left, because the run byte is but the
             * first of MOST_OF_GROUP, no column is further on than the stream, and 256 literals are there */
            uint8_t *column = w->column[LITERALS] + w->used[LITERALS], *flat = w->flat + w->at;
            if (joining) memcpy(flat, column, 16);
            else memcpy(column, flat, 16);
            w->at += run;
            w->used[LITERALS] += run;
        } else {
            move(w, LITERALS, run, joining);
        }
        if (run == 255) continue;
        const uint8_t *distance = joining ? w->column[DISTANCES] + w->used[DISTANCES] : w->flat + w->at;
        int end = distance[0] == 0 && distance[1] == 0;
        move(w, DISTANCES, 2, joining);
        if (end) {
            after_block(m);
            return;
        }
        move(w, LENGTHS, 1, joining);
    }
}

/* All bytes of one piece, one way or the other; 0 when columns do not fit together. */
static inline int transfer(Machine *m, Work *w, int joining) {
    while (w->at < w->size) {
        if (m->state == RUN) groups(m, w, joining);
        if (w->at == w->size) break;
        int column = column_of[m->state];
        if (is_counted(m->state)) {
            size_t count = w->size - w->at;
            if (m->state != TAIL && m->left < count) count = m->left;
            if (!move(w, column, count, joining)) return 0;
            if (m->state == TAIL) continue;
            m->left -= (uint32_t)count;
            if (m->left == 0) next_state(m, 0);
        } else {
            if (!move(w, column, 1, joining)) return 0;
            next_state(m, w->flat[w->at - 1]);
        }
    }
    return 1;
}

#endif
