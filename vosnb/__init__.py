"""vosnb: learn how a video segmenter adapts to this object in this video."""
