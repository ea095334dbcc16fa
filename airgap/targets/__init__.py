"""What an import can write into besides registries and layouts: archives, directories, the storage of engines."""
