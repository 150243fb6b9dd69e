//! machine-app
