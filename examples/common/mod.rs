//! Code that the examples share.

use std::path::PathBuf;

/// The folder for pictures: the one after `--out`, or the example's default.
pub fn output_folder(default: &str) -> std::io::Result<PathBuf> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--out").skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| default.to_owned()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
