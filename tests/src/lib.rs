//! machine-tests
