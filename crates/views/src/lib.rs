//! engram-views.
