"""Files of strangers, disks and earlier programs: read with their sizes checked first, and broken in one sentence.

    limits      how large all of that may be, which `--limit` sets
    faults      whatever a decoder raises of a broken file becomes a UserError that names the file
    json_file   JSON of bounded size and depth, and fields of the right types
    array_file  .npy and .npz, mapped into memory after their headers are found to fit the file
    stream      a file for a parser that believes sizes it finds
    images      how large an encoded image is, before it is decoded
    lines       lines of text, none of them endless
    pickled     pickles of images and flags, without pickle

Every module that reads files of others does so by these; tests/fuzz damages what they read.
"""
