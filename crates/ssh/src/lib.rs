//! machine-ssh
