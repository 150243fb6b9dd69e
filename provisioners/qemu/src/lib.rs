//! machine-qemu
