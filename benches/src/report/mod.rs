//! Tables and a plot, from the samples of a run.

mod numbers;
mod plot;
mod tables;

pub use plot::plot;
pub use tables::tables;
