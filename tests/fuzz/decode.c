/* Fuzz target: any bytes as gzip. */
#include "steps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, to_tokens, to_gzip);
    return 0;
}
