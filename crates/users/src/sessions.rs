//! The cache from access token to session: consulted by every authenticated request.
