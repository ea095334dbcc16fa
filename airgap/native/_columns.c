/* The Python face of _columns.h. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_columns.h"

typedef struct {
    PyObject_HEAD
    Machine machine;
} Columns;

static PyObject *split(PyObject *object, PyObject *data) {
    Columns *self = (Columns *)object;
    Machine machine = self->machine; /* a copy: another thread may use the object while this one has let go of the interpreter */
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)) return NULL;
    PyObject *result = NULL;
    Work w = {0};
    uint8_t *memory = view.len > PY_SSIZE_T_MAX / COLUMNS ? NULL : PyMem_Malloc(COLUMNS * (size_t)view.len);
    if (memory == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    w.flat = view.buf;
    w.size = (size_t)view.len;
    for (int i = 0; i < COLUMNS; i++) w.column[i] = memory + (size_t)i * w.size;
    Py_BEGIN_ALLOW_THREADS
    transfer(&machine, &w, 0);
    Py_END_ALLOW_THREADS
    self->machine = machine;
    result = Py_BuildValue("y#y#y#y#y#", w.column[0], (Py_ssize_t)w.used[0], w.column[1], (Py_ssize_t)w.used[1], w.column[2],
                           (Py_ssize_t)w.used[2], w.column[3], (Py_ssize_t)w.used[3], w.column[4], (Py_ssize_t)w.used[4]);
done:
    PyMem_Free(memory);
    PyBuffer_Release(&view);
    return result;
}

static PyObject *join(PyObject *object, PyObject *args) {
    Columns *self = (Columns *)object;
    Machine machine = self->machine; /* a copy: another thread may use the object while this one has let go of the interpreter */
    Py_buffer views[COLUMNS] = {0};
    PyObject *result = NULL;
    Py_ssize_t size = 0;
    int fits = 0;
    Work w = {0};
    if (!PyArg_ParseTuple(args, "(y*y*y*y*y*)", &views[0], &views[1], &views[2], &views[3], &views[4])) return NULL;
    for (int i = 0; i < COLUMNS; i++) {
        w.column[i] = views[i].buf;
        w.there[i] = (size_t)views[i].len;
        if (views[i].len > PY_SSIZE_T_MAX - size) {
            PyErr_NoMemory();
            goto done;
        }
        size += views[i].len;
    }
    w.size = (size_t)size;
    result = PyBytes_FromStringAndSize(NULL, size);
    if (result == NULL) goto done;
    w.flat = (uint8_t *)PyBytes_AsString(result);
    Py_BEGIN_ALLOW_THREADS
    fits = transfer(&machine, &w, 1);
    Py_END_ALLOW_THREADS
    self->machine = machine;
    if (!fits) {
        Py_CLEAR(result);
        PyErr_SetString(PyExc_ValueError, "the columns do not fit together");
    }
done:
    for (int i = 0; i < COLUMNS; i++) PyBuffer_Release(&views[i]);
    return result;
}

static void dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"split", split, METH_O, "Take the next bytes of a token stream apart: a tuple of five columns."},
    {"join", join, METH_VARARGS, "Put the columns of the next bytes together again. Raises ValueError when they do not fit."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)"The place in one token stream."},
    {Py_tp_methods, methods},
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_new, (void *)PyType_GenericNew},
    {0, NULL},
};

static PyType_Spec spec = {"airgap.native._columns.Columns", sizeof(Columns), 0, Py_TPFLAGS_DEFAULT, slots};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "airgap.native._columns", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__columns(void) {
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = module ? PyType_FromSpec(&spec) : NULL;
    if (type == NULL || PyModule_AddObjectRef(module, "Columns", type)) {
        Py_XDECREF(type);
        Py_XDECREF(module);
        return NULL;
    }
    Py_DECREF(type);
    return module;
}
