/* SHA-256 (FIPS 180-4) of two messages at once that end in the same bytes: a file, and a block of it.
 *
 * Where both messages are cut into 64 bytes at the same places, they have the same message schedule. And the SHA instructions of x86
 * are bound by the latency of one chain of rounds: a second chain beside it is free. Padding and lengths are for the caller.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define STATE 32
#define PIECE 64

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static int able(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29)); /* SHA */
}

/* The two halves in which the instructions want a state: words a b e f and c d g h. */
#define LOAD(words, abef, cdgh)                                                      \
    do {                                                                             \
        __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(words)), 0xB1); \
        __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const void *)((words) + 16)), 0x1B); \
        abef = _mm_alignr_epi8(low, high, 8);                                        \
        cdgh = _mm_blend_epi16(high, low, 0xF0);                                     \
    } while (0)

#define STORE(words, abef, cdgh)                                                   \
    do {                                                                           \
        __m128i low = _mm_shuffle_epi32(abef, 0x1B), high = _mm_shuffle_epi32(cdgh, 0xB1); \
        _mm_storeu_si128((void *)(words), _mm_blend_epi16(low, high, 0xF0));       \
        _mm_storeu_si128((void *)((words) + 16), _mm_alignr_epi8(high, low, 8));   \
    } while (0)

/* Four rounds of both messages with the words of m0; then the schedule moves on by four words, as long as it has to. */
#define FOUR(i, m0, m1, m2, m3)                                                                                 \
    do {                                                                                                        \
        __m128i words = _mm_add_epi32(m0, _mm_loadu_si128((const void *)(K + 4 * (i))));                        \
        __m128i later = _mm_shuffle_epi32(words, 0x0E);                                                         \
        c1 = _mm_sha256rnds2_epu32(c1, a1, words);                                                              \
        c2 = _mm_sha256rnds2_epu32(c2, a2, words);                                                              \
        a1 = _mm_sha256rnds2_epu32(a1, c1, later);                                                              \
        a2 = _mm_sha256rnds2_epu32(a2, c2, later);                                                              \
        if ((i) < 12) m0 = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(m0, m1), _mm_alignr_epi8(m3, m2, 4)), m3); \
    } while (0)

__attribute__((target("sha,sse4.1,ssse3"))) static void absorb(uint8_t *states, const uint8_t *data, size_t pieces) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i a1, c1, a2, c2;
    LOAD(states, a1, c1);
    LOAD(states + STATE, a2, c2);
    for (; pieces; pieces--, data += PIECE) {
        const __m128i olda1 = a1, oldc1 = c1, olda2 = a2, oldc2 = c2;
        __m128i m0 = _mm_shuffle_epi8(_mm_loadu_si128((const void *)data), order);
        __m128i m1 = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(data + 16)), order);
        __m128i m2 = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(data + 32)), order);
        __m128i m3 = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(data + 48)), order);
        FOUR(0, m0, m1, m2, m3);
        FOUR(1, m1, m2, m3, m0);
        FOUR(2, m2, m3, m0, m1);
        FOUR(3, m3, m0, m1, m2);
        FOUR(4, m0, m1, m2, m3);
        FOUR(5, m1, m2, m3, m0);
        FOUR(6, m2, m3, m0, m1);
        FOUR(7, m3, m0, m1, m2);
        FOUR(8, m0, m1, m2, m3);
        FOUR(9, m1, m2, m3, m0);
        FOUR(10, m2, m3, m0, m1);
        FOUR(11, m3, m0, m1, m2);
        FOUR(12, m0, m1, m2, m3);
        FOUR(13, m1, m2, m3, m0);
        FOUR(14, m2, m3, m0, m1);
        FOUR(15, m3, m0, m1, m2);
        a1 = _mm_add_epi32(a1, olda1);
        c1 = _mm_add_epi32(c1, oldc1);
        a2 = _mm_add_epi32(a2, olda2);
        c2 = _mm_add_epi32(c2, oldc2);
    }
    STORE(states, a1, c1);
    STORE(states + STATE, a2, c2);
}
#else
static int able(void) { return 0; }
static void absorb(uint8_t *states, const uint8_t *data, size_t pieces) { (void)states, (void)data, (void)pieces; }
#endif

static PyObject *able_here(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    return PyBool_FromLong(able());
}

static PyObject *absorb_both(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer old = {0}, data = {0};
    PyObject *result = NULL;
    uint8_t states[2 * STATE];
    if (!PyArg_ParseTuple(args, "y*y*", &old, &data)) return NULL;
    if (old.len != 2 * STATE || data.len % PIECE) {
        PyErr_SetString(PyExc_ValueError, "two states of 32 bytes, and pieces of 64 bytes, are wanted");
    } else if (!able()) {
        PyErr_SetString(PyExc_RuntimeError, "this processor has no SHA instructions");
    } else {
        memcpy(states, old.buf, sizeof states);
        Py_BEGIN_ALLOW_THREADS
        absorb(states, data.buf, (size_t)data.len / PIECE);
        Py_END_ALLOW_THREADS
        result = PyBytes_FromStringAndSize((const char *)states, sizeof states);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&old);
    return result;
}

static PyMethodDef functions[] = {
    {"able", able_here, METH_NOARGS, "Whether this processor can."},
    {"absorb", absorb_both, METH_VARARGS, "Two states and whole pieces of 64 bytes: the two states after them. Raises ValueError."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "airgap.native._sha256", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sha256(void) { return PyModule_Create(&definition); }
