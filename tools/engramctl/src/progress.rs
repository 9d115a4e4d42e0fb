//! Progress bars, on standard error and only if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes. It disappears when it is dropped.
pub(crate) fn bytes(what: &'static str) -> Bar {
    Bar::new(what, "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left")
}

/// A bar over offsets of the log.
pub(crate) fn offsets(what: &'static str) -> Bar {
    Bar::new(what, "{msg} {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left")
}

/// A bar that stays no longer than its work.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    fn new(what: &'static str, template: &str) -> Self {
        // indicatif draws to standard error, and nothing if that is no terminal.
        let bar = ProgressBar::new(0).with_message(what);
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are constants"));
        Self(bar)
    }

    /// How far it is.
    pub(crate) fn set(&self, position: u64, length: u64) {
        self.0.set_length(length);
        self.0.set_position(position);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
