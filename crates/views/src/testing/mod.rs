//! For the tests of projectors: a log without files and views in a directory that vanishes.

mod block_on;
mod flush;
mod memory_log;
mod scratch;
mod test_views;

pub use block_on::block_on;
pub use flush::flush;
pub use memory_log::MemoryLog;
pub use scratch::scratch_dir;
pub use test_views::TestViews;
