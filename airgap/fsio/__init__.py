"""The only package that opens and writes files of local disks."""

from airgap.fsio.reading import CHUNK as CHUNK
from airgap.fsio.reading import disk_errors as disk_errors
from airgap.fsio.reading import open_regular as open_regular
from airgap.fsio.reading import read_at as read_at
from airgap.fsio.reading import read_capped as read_capped
from airgap.fsio.reading import read_if_there as read_if_there
from airgap.fsio.reading import read_input as read_input
from airgap.fsio.space import exclusive as exclusive
from airgap.fsio.space import existing_parent as existing_parent
from airgap.fsio.space import filesystem_type as filesystem_type
from airgap.fsio.space import free_bytes as free_bytes
from airgap.fsio.space import require_free as require_free
from airgap.fsio.trees import DirectoryTree as DirectoryTree
from airgap.fsio.trees import FileReader as FileReader
from airgap.fsio.trees import Tree as Tree
from airgap.fsio.writing import PRIVATE as PRIVATE
from airgap.fsio.writing import UNCHANGEABLE as UNCHANGEABLE
from airgap.fsio.writing import append_durable as append_durable
from airgap.fsio.writing import make_directory as make_directory
from airgap.fsio.writing import new_file as new_file
from airgap.fsio.writing import rename_durable as rename_durable
from airgap.fsio.writing import sync_directory as sync_directory
from airgap.fsio.writing import write_at as write_at
from airgap.fsio.writing import write_durable as write_durable
