/* Fuzz target: any bytes as tokens. */
#include "steps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, to_gzip, to_tokens);
    return 0;
}
