//! The feed-forward networks on the processor, over plain slices.
