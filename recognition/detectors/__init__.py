"""What finds faces: one detector a file, `choose.load_detector` picks one."""
