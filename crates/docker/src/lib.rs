//! machine-docker
