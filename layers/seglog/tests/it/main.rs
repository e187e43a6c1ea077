//! The log against a model: on a disk that fails and forgets at every step, on files cut and
//! flipped everywhere, and on the real file system.

mod ahead;
mod beside;
mod damage;
mod format;
mod full;
mod gather;
mod images;
mod life;
mod model;
mod pack;
mod scarce;
mod tools;
