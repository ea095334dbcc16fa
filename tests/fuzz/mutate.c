/* Drives a fuzz target without libFuzzer: every file named, each of its beginnings, and random changes of it.
 *
 *   mutate COUNT FILE...      COUNT changed versions of each file, the same ones every time
 */
#include "steps.h"

enum { MOST_BYTES = 1 << 20, SMALL = 2048 };

static void change(uint8_t *data, size_t size, uint32_t *random)
{
    for (unsigned times = 1 + next_random(random) % 3; size && times; times--) {
        size_t at = next_random(random) % size;
        if (next_random(random) & 1)
            data[at] ^= (uint8_t)(1u << next_random(random) % 8);
        else
            data[at] = (uint8_t)next_random(random);
    }
}

static void run_file(const uint8_t *data, size_t size, unsigned long count)
{
    uint32_t random = seed_of(data, size);
    uint8_t *copy = malloc(size + 1);

    LLVMFuzzerTestOneInput(data, size);
    for (size_t length = 0; length < size && size <= SMALL; length++)
        LLVMFuzzerTestOneInput(data, length);
    for (; size && count; count--) {
        memcpy(copy, data, size);
        change(copy, size, &random);
        LLVMFuzzerTestOneInput(copy, size);
    }
    free(copy);
}

int main(int argc, char **argv)
{
    static uint8_t data[MOST_BYTES];
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file)
            die("the file can be opened");
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        run_file(data, size, strtoul(argv[1], NULL, 10));
    }
    return 0;
}
