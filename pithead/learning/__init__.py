"""Train YOLO26 OBB on tiles; the only modules beside `pithead.export` that import torch and ultralytics."""
