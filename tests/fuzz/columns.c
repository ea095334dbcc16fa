/* Fuzz target: any bytes as a token stream, and as five columns. Every buffer is exactly as long as it may be used. */
#include "steps.h"

#include "_columns.h"

struct columns {
    uint8_t *bytes[COLUMNS];
    size_t size[COLUMNS];
};

static uint8_t *copied(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + !size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

static void released(struct columns *columns)
{
    for (int i = 0; i < COLUMNS; i++)
        free(columns->bytes[i]);
}

static struct columns taken_apart(Machine *machine, const uint8_t *data, size_t size)
{
    struct columns columns;
    Work work = {.flat = copied(data, size), .size = size};
    for (int i = 0; i < COLUMNS; i++)
        work.column[i] = malloc(size + !size);
    if (!transfer(machine, &work, 0) || work.at != size)
        die("any bytes can be taken apart");
    for (int i = 0; i < COLUMNS; i++) {
        columns.size[i] = work.used[i];
        columns.bytes[i] = copied(work.column[i], work.used[i]);
        free(work.column[i]);
    }
    free(work.flat);
    return columns;
}

/* The bytes that the columns make, NULL when they do not fit. */
static uint8_t *put_together(Machine *machine, const struct columns *columns, size_t *size)
{
    Work work = {0};
    *size = 0;
    for (int i = 0; i < COLUMNS; i++) {
        work.column[i] = columns->bytes[i];
        work.there[i] = columns->size[i];
        *size += columns->size[i];
    }
    work.size = *size;
    work.flat = malloc(*size + !*size);
    if (transfer(machine, &work, 1)) {
        for (int i = 0; i < COLUMNS; i++)
            if (work.used[i] != work.there[i])
                die("columns that fit are used up");
        return work.flat;
    }
    free(work.flat);
    return NULL;
}

static void expect(const uint8_t *made, size_t size, const uint8_t *data, size_t wanted)
{
    if (!made || size != wanted || (size && memcmp(made, data, size) != 0))
        die("what was taken apart is put together again");
}

/* Piece by piece: the same columns as at once, and the way back. */
static void check_pieces(const uint8_t *data, size_t size, const struct columns *whole)
{
    Machine apart = {0}, together = {0};
    uint32_t seed = seed_of(data, size);
    size_t done[COLUMNS] = {0};
    for (size_t at = 0; at < size;) {
        uint32_t random = next_random(&seed);
        size_t count = 1 + (random & 1 ? random >> 1 & 1023 : random >> 1 & 7), made_size;
        if (count > size - at)
            count = size - at;
        struct columns piece = taken_apart(&apart, data + at, count);
        for (int i = 0; i < COLUMNS; i++) {
            if (done[i] + piece.size[i] > whole->size[i] ||
                (piece.size[i] && memcmp(piece.bytes[i], whole->bytes[i] + done[i], piece.size[i]) != 0))
                die("pieces give the same columns");
            done[i] += piece.size[i];
        }
        uint8_t *made = put_together(&together, &piece, &made_size);
        expect(made, made_size, data + at, count);
        free(made);
        released(&piece);
        at += count;
    }
    for (int i = 0; i < COLUMNS; i++)
        if (done[i] != whole->size[i])
            die("pieces give all of the columns");
}

/* Columns of other sizes: refused, or one stream has exactly these. */
static void check_fit(const uint8_t *bytes, const size_t sizes[COLUMNS])
{
    struct columns columns;
    size_t size, at = 0;
    for (int i = 0; i < COLUMNS; i++) {
        columns.size[i] = sizes[i];
        columns.bytes[i] = copied(bytes + at, sizes[i]);
        at += sizes[i];
    }
    Machine machine = {0};
    uint8_t *made = put_together(&machine, &columns, &size);
    if (made) {
        Machine back = {0};
        struct columns again = taken_apart(&back, made, size);
        for (int i = 0; i < COLUMNS; i++)
            if (again.size[i] != columns.size[i] || (again.size[i] && memcmp(again.bytes[i], columns.bytes[i], again.size[i]) != 0))
                die("columns that fit are those of their stream");
        released(&again);
        free(made);
    }
    released(&columns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Machine apart = {0}, together = {0};
    struct columns whole = taken_apart(&apart, data, size);
    size_t made_size, at = 0, sizes[COLUMNS];
    uint8_t *made = put_together(&together, &whole, &made_size);
    expect(made, made_size, data, size);
    check_pieces(data, size, &whole);

    uint32_t seed = seed_of(data, size);
    for (int i = 0; i < COLUMNS; i++) { /* the true columns, one byte of one of them in its neighbour */
        memcpy(made + at, whole.bytes[i], whole.size[i]);
        at += whole.size[i];
    }
    memcpy(sizes, whole.size, sizeof sizes);
    check_fit(made, sizes);
    int from = (int)(next_random(&seed) % COLUMNS), to = (int)(next_random(&seed) % COLUMNS);
    if (sizes[from]) {
        sizes[from]--;
        sizes[to]++;
    }
    check_fit(made, sizes);
    for (int i = 0; i < COLUMNS; i++) /* the bytes themselves as columns */
        sizes[i] = i == COLUMNS - 1 ? size : next_random(&seed) % (size + 1), size -= sizes[i];
    check_fit(data, sizes);

    free(made);
    released(&whole);
    return 0;
}
