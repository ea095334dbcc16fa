/* The compiled half of airgap.patch: gzip bytes to tokens and back. Its twin in Python, which states what both do, is
 * airgap/patch/pydeflate.py; the work is done in _tokens_decode.h and _tokens_encode.h, the glue is here.
 *
 * Limited API: one binary serves every Python from 3.11 on.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "_tokens_decode.h"
#include "_tokens_encode.h"

typedef struct {
    PyObject_HEAD
    bool busy; /* a step is running without the interpreter's lock */
    union {
        struct decoder decoder;
        struct encoder encoder;
    } state;
} Codec;

typedef enum status step_function(Codec *codec, struct span *span);

static enum status decoder_step(Codec *codec, struct span *span) { return decode_step(&codec->state.decoder, span); }
static enum status encoder_step(Codec *codec, struct span *span) { return encode_step(&codec->state.encoder, span); }

/* Step until the input is used up, with an output buffer that grows; false without memory. An element of the input makes
 * at most 16 bytes of each of its own, so the buffer is bounded by that and what an element needs. */
static bool run(Codec *codec, step_function *step, struct span *span, uint8_t **start, enum status *status)
{
    size_t room = 2 * span_left(span) + 4096;
    uint8_t *bytes = malloc(room);

    *start = bytes;
    if (!bytes)
        return false;
    span->out = bytes;
    span->out_end = bytes + room;
    while ((*status = step(codec, span)) == NEED_ROOM) {
        size_t done = (size_t)(span->out - bytes);
        room *= 2;
        if (!(bytes = realloc(bytes, room)))
            return false;
        *start = bytes;
        span->out = bytes + done;
        span->out_end = bytes + room;
    }
    return true;
}

static PyObject *codec_step(Codec *codec, PyObject *args, step_function *step)
{
    Py_buffer data;
    int final;
    PyObject *result = NULL;
    uint8_t *start;
    enum status status;
    bool has_memory;

    if (!PyArg_ParseTuple(args, "y*p", &data, &final))
        return NULL;
    if (codec->busy) {
        PyErr_SetString(PyExc_RuntimeError, "a step of this codec is running in another thread");
        goto done;
    }
    struct span span = {.in = data.buf, .in_end = (const uint8_t *)data.buf + data.len, .final = final};
    codec->busy = true;
    Py_BEGIN_ALLOW_THREADS
    has_memory = run(codec, step, &span, &start, &status);
    Py_END_ALLOW_THREADS
    codec->busy = false;
    if (!has_memory)
        PyErr_NoMemory();
    else if (status != NEED_INPUT)
        PyErr_SetString(PyExc_ValueError, status_text[status]);
    else
        result = Py_BuildValue("ny#", (Py_ssize_t)(span.in - (const uint8_t *)data.buf), start, (Py_ssize_t)(span.out - start));
    free(start);
done:
    PyBuffer_Release(&data);
    return result;
}

static PyObject *token_decoder_step(PyObject *self, PyObject *args) { return codec_step((Codec *)self, args, decoder_step); }
static PyObject *token_encoder_step(PyObject *self, PyObject *args) { return codec_step((Codec *)self, args, encoder_step); }

static void codec_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef decoder_methods[] = {
    {"step", token_decoder_step, METH_VARARGS, "step(data, final) -> (consumed, tokens)"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef encoder_methods[] = {
    {"step", token_encoder_step, METH_VARARGS, "step(tokens, final) -> (consumed, data)"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot decoder_slots[] = {
    {Py_tp_doc, "gzip bytes to tokens, a step at a time; see airgap.patch.pydeflate."},
    {Py_tp_new, PyType_GenericNew}, /* zeroed: fresh */
    {Py_tp_dealloc, codec_dealloc},
    {Py_tp_methods, decoder_methods},
    {0, NULL},
};

static PyType_Slot encoder_slots[] = {
    {Py_tp_doc, "Tokens to gzip bytes, a step at a time; see airgap.patch.pydeflate."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, codec_dealloc},
    {Py_tp_methods, encoder_methods},
    {0, NULL},
};

static PyType_Spec specs[] = {
    {"airgap.native._deflate.TokenDecoder", sizeof(Codec), 0, Py_TPFLAGS_DEFAULT, decoder_slots},
    {"airgap.native._deflate.TokenEncoder", sizeof(Codec), 0, Py_TPFLAGS_DEFAULT, encoder_slots},
};

static int module_exec(PyObject *module)
{
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, &specs[i], NULL);
        if (!type)
            return -1;
        int failed = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (failed)
            return -1;
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "airgap.native._deflate",
    .m_doc = "The compiled token codec; see airgap.patch.pydeflate.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__deflate(void) { return PyModuleDef_Init(&module); }
