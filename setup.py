"""The C extensions, which pyproject.toml cannot name yet; everything else is said there."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "airgap.native._deflate",
            ["airgap/native/_deflate.c"],
            depends=[f"airgap/native/_tokens{part}.h" for part in ("", "_tables", "_decode", "_codes", "_encode")],
            extra_compile_args=["-O3"],
            py_limited_api=True,
            optional=True,  # without a compiler the plain Python codec does the work, slowly
        ),
        Extension(
            "airgap.native._columns",
            ["airgap/native/_columns.c"],
            depends=["airgap/native/_columns.h"],
            extra_compile_args=["-O3"],
            py_limited_api=True,
            optional=True,
        ),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
