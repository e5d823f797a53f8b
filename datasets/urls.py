"""The paths of datasets: those of the first clients exact, those of `/api/v1/` with a slash at the end or without."""

from __future__ import annotations

from django.urls import path

from datasets import item_pages, pages, resources, views
from dpl_site.lib.rest import either

JOB = "api/v1/jobs/<str:job_id>"

urlpatterns = [
    path("jobs/", pages.jobs_page, name="jobs-page"),
    path("jobs/compare/", item_pages.compare_page, name="jobs-compare"),
    path("jobs/<str:job_id>/", pages.job_page, name="job-page"),
    path("jobs/<str:job_id>/items/", item_pages.items_part, name="job-items-part"),
    path("jobs/<str:job_id>/items/<int:index>/", item_pages.item_page, name="item-page"),
    path("jobs/<str:job_id>/<str:action>", pages.job_act, name="job-act"),
    path("api/dataset/upload", views.UploadView.as_view(), name="dataset-upload"),
    path("api/dataset/status/<str:job_id>", views.StatusView.as_view(), name="dataset-status"),
    path(
        "api/dataset/detailed-status/<str:job_id>",
        views.DetailedStatusView.as_view(),
        name="dataset-detailed-status",
    ),
    path("api/dataset/stop/<str:job_id>", views.StopView.as_view(), name="dataset-stop"),
    path("api/dataset/result/<str:job_id>", views.ResultView.as_view(), name="dataset-result"),
    path("api/dataset/cleanup/all", views.CleanupView.as_view(), name="dataset-cleanup"),
    *either("api/v1/jobs/", resources.JobsView.as_view(), name="jobs"),
    *either(f"{JOB}/", resources.JobDetailView.as_view(), name="job"),
    *either(f"{JOB}/stop/", views.StopView.as_view(), name="job-stop"),
    *either(f"{JOB}/resume/", resources.JobResumeView.as_view(), name="job-resume"),
    *either(f"{JOB}/retry-failed/", resources.JobRetryView.as_view(), name="job-retry-failed"),
    *either(f"{JOB}/pace/", resources.JobPaceView.as_view(), name="job-pace"),
    *either(f"{JOB}/estimate/", resources.JobEstimateView.as_view(), name="job-estimate"),
    *either(f"{JOB}/items/", resources.JobItemsView.as_view(), name="job-items"),
    *either(f"{JOB}/result/", views.ResultView.as_view(), name="job-result"),
]
